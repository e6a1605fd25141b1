#include "models/quantize/staged_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::models {

absl::StatusOr<std::unique_ptr<StagedFolder>> StagedFolder::Create(
    const std::filesystem::path& target) {
  std::filesystem::path clean = target;
  if (!clean.has_filename()) clean = clean.parent_path();  // "folder/"
  std::error_code error;
  if (std::filesystem::exists(clean, error) &&
      !(std::filesystem::is_directory(clean, error) && std::filesystem::is_empty(clean, error)))
    return absl::AlreadyExistsError(
        absl::StrCat(clean.string(), ": is there already; name another folder or remove this one"));
  std::filesystem::path staging = clean;
  staging += absl::StrCat(".partial-", getpid());
  if (!std::filesystem::create_directory(staging, error))
    return ErrnoStatus(error ? error.value() : EEXIST,
                       absl::StrCat("cannot create the folder ", staging.string()));
  return std::unique_ptr<StagedFolder>(new StagedFolder(clean, staging));
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(staging_, ignored);
}

absl::Status StagedFolder::Commit() {
  RETURN_IF_ERROR(SyncDirectory(staging_));
  // rename(2) replaces an empty folder and refuses any other.
  if (std::rename(staging_.c_str(), target_.c_str()) != 0) {
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
      return absl::AlreadyExistsError(
          absl::StrCat(target_.string(), ": something was put there meanwhile"));
    return ErrnoStatus(errno, absl::StrCat("cannot rename ", staging_.string()));
  }
  committed_ = true;
  const std::filesystem::path parent = target_.parent_path();
  return SyncDirectory(parent.empty() ? "." : parent);
}

}  // namespace oneai::models
