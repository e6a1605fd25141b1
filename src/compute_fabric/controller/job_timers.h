// File: compute_fabric/controller/job_timers.h
//
// When each job wants to be looked at although nothing happens to it: a backoff that ends, a time
// limit, the end of a warning.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace oneai::fabric {

// Thread-compatible.
class JobTimers {
 public:
  // Replaces the job's time; InfiniteFuture: it has none.
  void Set(const std::string& id, absl::Time time) {
    Remove(id);
    if (time == absl::InfiniteFuture()) return;
    times_[id] = time;
    by_time_.emplace(time, id);
  }
  void Remove(const std::string& id) {
    const auto known = times_.find(id);
    if (known == times_.end()) return;
    by_time_.erase({known->second, id});
    times_.erase(known);
  }
  // Those whose time has come, earliest first; they have none afterwards.
  std::vector<std::string> TakeDue(absl::Time now) {
    std::vector<std::string> due;
    while (!by_time_.empty() && by_time_.begin()->first <= now) {
      due.push_back(by_time_.begin()->second);
      times_.erase(due.back());
      by_time_.erase(by_time_.begin());
    }
    return due;
  }

 private:
  absl::flat_hash_map<std::string, absl::Time> times_;
  absl::btree_set<std::pair<absl::Time, std::string>> by_time_;
};

}  // namespace oneai::fabric
