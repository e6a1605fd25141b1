// File: models/quantize/staged_folder.h
//
// A model folder that appears whole or not at all: files are written into a folder beside it, which
// is renamed at the end. A process that is killed leaves "<name>.partial-<pid>", in which nothing
// has a name that a loader looks for until each file is complete.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"

namespace oneai::models {

// Thread-compatible. Destroying it without Commit() removes everything.
class StagedFolder {
 public:
  // AlreadyExists: `target` is there and not an empty folder. NotFound: its parent is not.
  static absl::StatusOr<std::unique_ptr<StagedFolder>> Create(const std::filesystem::path& target);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return staging_; }
  // Syncs and renames. At most once. AlreadyExists: something has taken the place meanwhile.
  absl::Status Commit();

 private:
  StagedFolder(std::filesystem::path target, std::filesystem::path staging)
      : target_(std::move(target)), staging_(std::move(staging)) {}

  const std::filesystem::path target_, staging_;
  bool committed_ = false;
};

}  // namespace oneai::models
