// File: compute_fabric/node/node_cache.h
//
// A folder on the node's own disk for what replicas can make again: packed weights. Each project
// has a part of its own, which its tasks may write and no other project's tasks see (as far as the
// node isolates tasks at all), so that nobody reads or forges another project's weights.
//
//   <state-dir>/cache/<business unit>/<project>/
//
// Bounded: what was not used for the longest time goes first, by the files' times of change, which
// their users set at each use. A file that is mapped lives on until its readers end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace oneai::fabric {

// Thread-compatible: the agent's loop owns it.
class NodeCache {
 public:
  // bytes_max 0: no cache, and what an earlier agent kept is removed.
  NodeCache(std::filesystem::path folder, int64_t bytes_max);

  // The folder of a project ("<business unit>/<project>"), made when it is missing, mode 0700.
  // nullopt: no cache, a name that is no project, or a disk that refuses (logged).
  std::optional<std::filesystem::path> FolderOf(absl::string_view project) const;

  // Removes the least recently used files until the rest fits, and all that writers left behind who
  // have not written for ten minutes. Looks at the disk at most once a minute.
  void Trim(absl::Time now);

 private:
  const std::filesystem::path folder_;
  const int64_t bytes_max_;
  absl::Time next_trim_ = absl::InfinitePast();
};

}  // namespace oneai::fabric
