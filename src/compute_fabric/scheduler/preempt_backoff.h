// File: compute_fabric/scheduler/preempt_backoff.h
//
// When to look for victims again. A search looks at everything that runs, and one that found nobody
// will most likely find nobody a moment later; asking in every pass for every class of job that
// waits would cost more than all other phases together.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/cluster/job_table.h"

namespace oneai::fabric {

// Searches come in rounds (the passes that make any), a quarter of a second apart per 1,000 running
// jobs. A class that found nobody waits half a second per 1,000, doubled with each failure in a row
// up to 16 times. In a small fabric nobody notices; in a large one searches stay a small share of
// the passes. Copyable; thread-compatible.
class PreemptBackoff {
 public:
  bool MayBeginRound(absl::Time now) const { return now >= next_round_; }
  void RoundBegun(int64_t num_running, absl::Time now);
  bool MaySearch(absl::string_view queue, JobClass job_class, absl::Time now) const;
  void Failed(absl::string_view queue, JobClass job_class, int64_t num_running, absl::Time now);
  void Succeeded(absl::string_view queue, JobClass job_class);

 private:
  struct Entry {
    absl::Time again;
    absl::Duration wait;
  };
  absl::Time next_round_ = absl::InfinitePast();
  absl::flat_hash_map<std::pair<std::string, JobClass>, Entry> entries_;
};

}  // namespace oneai::fabric
