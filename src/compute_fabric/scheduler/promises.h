// File: compute_fabric/scheduler/promises.h
//
// Places that evictions make, from the pass that decided them until the job they were made for is
// there. The evicted jobs hold their resources until they have stopped; if nothing were done, what
// they give back would go to whoever comes first in line at that moment.
//
//   promised -> evicted jobs stop -> placed first thing in the next pass
//            -> the job is gone, or nobody is stopping any more and it does not fit -> dropped
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// The promises of one pass: what is promised counts as taken, on nodes and in quotas, as long as
// this object lives. `state` outlives it. Thread-compatible.
class PromiseHold {
 public:
  explicit PromiseHold(SchedulerState* state);
  ~PromiseHold();
  PromiseHold(const PromiseHold&) = delete;
  PromiseHold& operator=(const PromiseHold&) = delete;

  // Goes through the promises, oldest first, and drops or fulfils what it can. `place` tries to
  // place a job now, its own promise being released; true: it did.
  void Settle(absl::FunctionRef<bool(const JobView& job)> place);
  void Add(Promise promise);
  bool Has(absl::string_view job_id) const { return jobs_.contains(job_id); }

 private:
  void Take(const Promise& promise);
  void Release(const Promise& promise);

  SchedulerState* state_;
  absl::flat_hash_set<std::string> jobs_;
};

}  // namespace oneai::fabric
