#include "compute_fabric/node/node_cache.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log/log.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kTrimInterval = absl::Minutes(1);
constexpr std::chrono::minutes kAbandonedAfter(10);

// One step of a path, and nothing that leads elsewhere.
bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 128 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

struct CachedFile {
  fs::path path;
  int64_t bytes;
  fs::file_time_type used;
};

std::vector<CachedFile> FilesBelow(const fs::path& folder) {
  std::vector<CachedFile> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code gone;  // a task may remove it meanwhile
    if (it->is_symlink(gone) || !it->is_regular_file(gone)) continue;
    const uintmax_t bytes = it->file_size(gone);
    const fs::file_time_type used = it->last_write_time(gone);
    if (!gone) files.push_back({it->path(), static_cast<int64_t>(bytes), used});
  }
  return files;
}

}  // namespace

NodeCache::NodeCache(fs::path folder, int64_t bytes_max)
    : folder_(std::move(folder)), bytes_max_(bytes_max) {
  std::error_code error;
  if (bytes_max_ <= 0) fs::remove_all(folder_, error);
}

std::optional<fs::path> NodeCache::FolderOf(absl::string_view project) const {
  const std::vector<absl::string_view> names = absl::StrSplit(project, '/');
  if (bytes_max_ <= 0 || names.size() != 2 || !IsPlainName(names[0]) || !IsPlainName(names[1]))
    return std::nullopt;
  const fs::path path = folder_ / std::string(names[0]) / std::string(names[1]);
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) fs::permissions(folder_, fs::perms::owner_all, error);
  if (!error) fs::permissions(path, fs::perms::owner_all, error);
  if (error) {
    Log::Warning("no cache for this task; its replica packs its weights at every start",
                 {{"folder", path.string()}, {"why", error.message()}});
    return std::nullopt;
  }
  return path;
}

void NodeCache::Trim(absl::Time now) {
  if (bytes_max_ <= 0 || now < next_trim_) return;
  next_trim_ = now + kTrimInterval;
  std::vector<CachedFile> files = FilesBelow(folder_);
  std::sort(files.begin(), files.end(),
            [](const CachedFile& a, const CachedFile& b) { return a.used > b.used; });
  const auto abandoned = fs::file_time_type::clock::now() - kAbandonedAfter;
  int64_t kept = 0;
  for (const CachedFile& file : files) {
    const bool is_leftover =
        absl::StrContains(file.path.filename().string(), ".tmp.") && file.used < abandoned;
    kept += file.bytes;
    if (!is_leftover && kept <= bytes_max_) continue;
    kept -= file.bytes;
    std::error_code error;
    fs::remove(file.path, error);
    Log::Info("removed from the node's cache", {{"file", file.path.string()},
                                                {"bytes", file.bytes},
                                                {"leftover", is_leftover},
                                                {"error", error ? error.message() : ""}});
  }
}

}  // namespace oneai::fabric
