// File: compute_fabric/jobs/placed_attempt.h
//
// The newest attempt that the controller has placed, written into the job's artifact folder before
// the attempt exists. The folder is on storage that all nodes see, so a node that the network cuts
// off from the controller still learns there that its attempt has a successor (docs/adr/0007).
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace oneai::fabric {

// `rank` is empty for a gang, whose ranks are placed together. Durable on return.
// ResourceExhausted: the disk is full.
absl::Status WritePlacedAttempt(const std::filesystem::path& artifact_dir, std::optional<int> rank,
                                int attempt);

// The newest attempt placed of the gang, or of `rank` alone; 0 when neither is written. DataLoss: a
// file is not a number.
absl::StatusOr<int> ReadPlacedAttempt(const std::filesystem::path& artifact_dir, int rank);

// The artifact folders as the controller's loop needs them; the simulation brings others.
class ArtifactFolders {
 public:
  virtual ~ArtifactFolders() = default;
  // Makes the folder; OK when it is there.
  virtual absl::Status Create(const std::filesystem::path& artifact_dir) = 0;
  // See WritePlacedAttempt.
  virtual absl::Status Announce(const std::filesystem::path& artifact_dir, std::optional<int> rank,
                                int attempt) = 0;

  // The file system's. Never null, lives for ever.
  static ArtifactFolders* OnDisk();
};

}  // namespace oneai::fabric
