// File: compute_fabric/scheduler/cluster/change_feed.h
//
// Which nodes changed since a version, for indexes that follow lazily.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "compute_fabric/scheduler/cluster/node.h"

namespace oneai::fabric {

// Thread-compatible; copyable.
class ChangeFeed {
 public:
  void Append(NodeIndex node) {
    ++version_;
    // A run of changes of one node is one entry, with the version of the last.
    if (!nodes_.empty() && nodes_.back() == node) {
      versions_.back() = version_;
      return;
    }
    nodes_.push_back(node);
    versions_.push_back(version_);
  }

  uint64_t version() const { return version_; }

  absl::Span<const NodeIndex> Since(uint64_t version) const {
    if (version >= version_) return {};
    const auto first = std::upper_bound(versions_.begin(), versions_.end(), version);
    return absl::MakeConstSpan(nodes_).subspan(static_cast<size_t>(first - versions_.begin()));
  }

  // Drops all but the last entry of each node once the feed is much longer than there are nodes:
  // amortised O(1) per entry.
  void Compact(size_t num_indexes) {
    if (nodes_.size() < 4 * num_indexes + 1024) return;
    std::vector<bool> seen(num_indexes, false);
    size_t out = nodes_.size();
    for (size_t i = nodes_.size(); i-- > 0;) {
      if (seen[nodes_[i]]) continue;
      seen[nodes_[i]] = true;
      --out;
      nodes_[out] = nodes_[i];
      versions_[out] = versions_[i];
    }
    nodes_.erase(nodes_.begin(), nodes_.begin() + static_cast<int64_t>(out));
    versions_.erase(versions_.begin(), versions_.begin() + static_cast<int64_t>(out));
  }

 private:
  uint64_t version_ = 0;
  std::vector<NodeIndex> nodes_;
  std::vector<uint64_t> versions_;  // parallel, ascending
};

}  // namespace oneai::fabric
