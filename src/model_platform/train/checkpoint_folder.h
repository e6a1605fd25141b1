// File: model_platform/train/checkpoint_folder.h
//
// Checkpoints as folders that exist whole or not at all:
//   write into `.tmp-<attempt>-<name>` -> manifest -> fsync every file -> rename -> fsync the
//   parent -> verify
// -> prune. The manifest (`manifest.json`) lists every file with size and SHA-256, so that one torn
// or altered later is recognised and the one before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "model_platform/train/attempt_fence.h"

namespace oneai::platform {

// "checkpoint-<step>".
std::string CheckpointName(int64_t step);

// Has `write` fill an empty temporary folder and publishes it as `parent/name`, replacing one of
// that name, under the fence. On any error nothing of the new folder stays and what was there
// before does: ResourceExhausted (disk full), Aborted (a newer attempt runs), or what `write`
// returned.
absl::Status PublishFolder(const std::filesystem::path& parent, const std::string& name,
                           const AttemptFence& fence,
                           absl::FunctionRef<absl::Status(const std::filesystem::path&)> write);

// Checks every file against the manifest. DataLoss names the first file that is missing, extra in
// size, or altered.
absl::Status VerifyFolder(const std::filesystem::path& folder);

struct FoundCheckpoint {
  int64_t step = 0;
  std::filesystem::path folder;
};

// The newest checkpoint below `parent` that is whole. Broken ones are passed over, each told to
// `on_broken`. nullopt: there is none.
std::optional<FoundCheckpoint> FindNewestWhole(
    const std::filesystem::path& parent,
    absl::FunctionRef<void(const FoundCheckpoint&, const absl::Status&)> on_broken);

// Deletes all but the newest `limit` checkpoints, and temporary folders that a killed attempt left.
// Call it after the newest one has been verified.
absl::Status PruneCheckpoints(const std::filesystem::path& parent, int64_t limit,
                              const AttemptFence& fence);

}  // namespace oneai::platform
