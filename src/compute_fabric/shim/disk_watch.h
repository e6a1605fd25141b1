// File: compute_fabric/shim/disk_watch.h
//
// The limit of a task's folder where the file system has no quota of its own: measured again and
// again, as often as measuring is cheap.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace oneai::fabric {

struct FolderSize {
  int64_t bytes = 0;        // allocated blocks, so a sparse file counts what it holds
  int64_t num_entries = 0;  // files, folders, links
};

// Everything below `folder` on its own file system; links are not followed, hard links count each
// time. Stops after `entries_max` entries. What vanishes meanwhile is left out.
FolderSize MeasureFolder(const std::string& folder, int64_t entries_max);

// Thread-compatible.
class DiskWatch {
 public:
  static constexpr int64_t kEntriesMax = 1'000'000;

  // `bytes_max` 0: no limit.
  DiskWatch(std::string folder, int64_t bytes_max)
      : folder_(std::move(folder)), bytes_max_(bytes_max) {}

  // Measures when it is time to; `now` counts from any fixed instant. Why the task must be stopped,
  // or nullopt. Measures every half second, or so seldom that it costs at most a twentieth of the
  // time.
  std::optional<std::string> Check(absl::Duration now);

 private:
  const std::string folder_;
  const int64_t bytes_max_;
  absl::Duration next_ = -absl::InfiniteDuration();
};

}  // namespace oneai::fabric
