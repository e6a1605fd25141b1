#include "model_platform/train/checkpoint_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/files/files.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using models::Json;

constexpr absl::string_view kPrefix = "checkpoint-";
constexpr absl::string_view kTemporaryPrefix = ".tmp-";
constexpr char kManifest[] = "manifest.json";

absl::Status FromError(const std::error_code& error, absl::string_view what, const fs::path& path) {
  return ErrnoStatus(error.value(), absl::StrCat(what, " ", path.string()));
}

absl::Status SyncFile(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", path.string()));
  const int failed = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return failed == 0 ? absl::OkStatus()
                     : ErrnoStatus(failed, absl::StrCat("syncing ", path.string()));
}

// Regular files below `folder`, relative, sorted; the manifest itself is left out.
absl::StatusOr<std::vector<std::string>> ListFiles(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_regular_file(error)) files.push_back(fs::relative(it->path(), folder).string());
  }
  if (error) return FromError(error, "listing", folder);
  std::erase(files, kManifest);
  std::ranges::sort(files);
  return files;
}

// Syncs files and folders, then writes the manifest that vouches for them.
absl::Status Seal(const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFiles(folder));
  Json list = Json::array();
  for (const std::string& file : files) {
    RETURN_IF_ERROR(SyncFile(folder / file));
    std::error_code error;
    const uintmax_t size = fs::file_size(folder / file, error);
    if (error) return FromError(error, "reading the size of", folder / file);
    ASSIGN_OR_RETURN(const std::string sha256, Sha256HexOfFile(folder / file));
    list.push_back({{"path", file}, {"size_bytes", size}, {"sha256", sha256}});
  }
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_directory(error)) RETURN_IF_ERROR(SyncDirectory(it->path()));
  }
  const Json manifest = {{"format", 1}, {"files", list}};
  return WriteFileAtomically(folder / kManifest, manifest.dump(2));
}

absl::Status Install(const fs::path& temporary, const fs::path& target) {
  std::error_code error;
  // A folder of that name is either broken or of an attempt whose successor repeats the step. It
  // steps aside first: rename cannot replace a folder that is not empty.
  const fs::path aside =
      target.parent_path() / absl::StrCat(kTemporaryPrefix, "old-", target.filename().string());
  fs::remove_all(aside, error);
  if (fs::exists(target, error)) {
    fs::rename(target, aside, error);
    if (error) return FromError(error, "setting aside", target);
  }
  fs::rename(temporary, target, error);
  if (error) return FromError(error, "publishing", target);
  RETURN_IF_ERROR(SyncDirectory(target.parent_path()));
  fs::remove_all(aside, error);
  return absl::OkStatus();
}

// By step, newest first.
std::vector<FoundCheckpoint> ListCheckpoints(const fs::path& parent) {
  std::vector<FoundCheckpoint> found;
  std::error_code error;
  for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::string_view number = name;
    int64_t step = 0;
    if (absl::ConsumePrefix(&number, kPrefix) && absl::SimpleAtoi(number, &step)) {
      found.push_back({step, it->path()});
    }
  }
  std::ranges::sort(found, std::greater<>(), &FoundCheckpoint::step);
  return found;
}

absl::Status VerifyFile(const fs::path& folder, const models::JsonObject& entry) {
  ASSIGN_OR_RETURN(const std::string name, entry.String("path"));
  ASSIGN_OR_RETURN(const int64_t size, entry.Int("size_bytes", {0, INT64_MAX}));
  ASSIGN_OR_RETURN(const std::string sha256, entry.String("sha256"));
  ASSIGN_OR_RETURN(const fs::path path, ResolveBeneath(folder, name));
  std::error_code error;
  const uintmax_t found = fs::file_size(path, error);
  if (error) return absl::DataLossError(absl::StrCat(path.string(), ": ", error.message()));
  if (found != static_cast<uintmax_t>(size)) {
    return absl::DataLossError(
        absl::StrCat(path.string(), ": ", found, " bytes, the manifest says ", size));
  }
  ASSIGN_OR_RETURN(const std::string actual, Sha256HexOfFile(path));
  if (actual != sha256) {
    return absl::DataLossError(
        absl::StrCat(path.string(), ": its SHA-256 is not that of the manifest"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string CheckpointName(int64_t step) { return absl::StrCat(kPrefix, step); }

absl::Status PublishFolder(const fs::path& parent, const std::string& name,
                           const AttemptFence& fence,
                           absl::FunctionRef<absl::Status(const fs::path&)> write) {
  // Attempts must not write into each other's folders while the fence has yet to separate them.
  const fs::path temporary = parent / absl::StrCat(kTemporaryPrefix, fence.attempt(), "-", name);
  std::error_code error;
  fs::remove_all(temporary, error);
  auto publish = [&]() -> absl::Status {
    std::error_code failed;
    fs::create_directories(temporary, failed);
    if (failed) return FromError(failed, "making", temporary);
    RETURN_IF_ERROR(write(temporary));
    RETURN_IF_ERROR(Seal(temporary));
    return fence.Guard([&] { return Install(temporary, parent / name); });
  };
  absl::Status status = publish();
  if (!status.ok()) fs::remove_all(temporary, error);
  return status;
}

absl::Status VerifyFolder(const fs::path& folder) {
  const absl::StatusOr<Json> json = models::ReadJsonFile(folder / kManifest);
  if (!json.ok()) return absl::DataLossError(json.status().message());
  const std::string what = (folder / kManifest).string();
  const auto files = json->find("files");
  if (!json->is_object() || files == json->end() || !files->is_array() || files->empty()) {
    return absl::DataLossError(absl::StrCat(what, ": lists no files"));
  }
  for (const Json& file : *files) {
    const absl::StatusOr<models::JsonObject> entry = models::JsonObject::From(file, what);
    const absl::Status status = entry.ok() ? VerifyFile(folder, *entry) : entry.status();
    if (!status.ok()) return absl::DataLossError(status.message());
  }
  return absl::OkStatus();
}

std::optional<FoundCheckpoint> FindNewestWhole(
    const fs::path& parent,
    absl::FunctionRef<void(const FoundCheckpoint&, const absl::Status&)> on_broken) {
  for (const FoundCheckpoint& candidate : ListCheckpoints(parent)) {
    const absl::Status status = VerifyFolder(candidate.folder);
    if (status.ok()) return candidate;
    on_broken(candidate, status);
  }
  return std::nullopt;
}

absl::Status PruneCheckpoints(const fs::path& parent, int64_t limit, const AttemptFence& fence) {
  return fence.Guard([&]() -> absl::Status {
    std::vector<FoundCheckpoint> found = ListCheckpoints(parent);
    std::error_code error;
    for (size_t i = limit; i < found.size(); ++i) {
      // The manifest goes first: what a crash leaves half deleted must not look whole.
      fs::remove(found[i].folder / kManifest, error);
      fs::remove_all(found[i].folder, error);
      if (error) return FromError(error, "deleting", found[i].folder);
    }
    for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (absl::StartsWith(it->path().filename().string(), kTemporaryPrefix)) {
        fs::remove_all(it->path(), ignored);
      }
    }
    return absl::OkStatus();
  });
}

}  // namespace oneai::platform
