// File: model_platform/train/attempt_fence.h
//
// Only the newest attempt of a job may publish checkpoints. A rank that was cut off from the fabric
// may still be running when its job is placed again; the file `attempt` in the artifact folder
// tells it that its time is over.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace oneai::platform {

// Thread-compatible; processes exclude each other by a lock file (flock).
class AttemptFence {
 public:
  AttemptFence(std::filesystem::path artifact_dir, int64_t attempt)
      : dir_(std::move(artifact_dir)), attempt_(attempt) {}

  // Raises the fence to this attempt. Aborted: a newer attempt has it.
  absl::Status Enter() const;

  // Runs `publish` while no other attempt can enter. Aborted, without calling it, when a newer
  // attempt has entered since.
  absl::Status Guard(absl::FunctionRef<absl::Status()> publish) const;

  int64_t attempt() const { return attempt_; }

 private:
  absl::Status Check() const;

  const std::filesystem::path dir_;
  const int64_t attempt_;
};

}  // namespace oneai::platform
