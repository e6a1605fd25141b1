// File: compute_fabric/scheduler/order_queues.h
//
// Phase 2: whom to serve next. Walks the waiting jobs in order, asking the tree again after every
// placement, and skips whole classes that have failed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// Lives for one pass; `state` outlives it. Thread-compatible.
//
// The next job is the head of the queue that goes first: from the root down, the child that ranks
// first (QueueTree::RankOf) of those with jobs left; among equal ones the child whose next job
// would wait before the other's in one queue (priority, then place in line). Within a queue: job
// order. O(depth x log) per step, whatever the number of jobs; making it looks at one job per
// queue. Each Next() is answered by Placed() or Failed() (not answering counts as kThisJobOnly).
// What others change in the tree between answer and Next() is seen; what they change before an
// answer is seen by the next pass.
class QueueOrder {
 public:
  QueueOrder(const SchedulerState* state, const Policy* policy);
  ~QueueOrder();

  // Null: nobody is left.
  const JobView* Next();

  // What became of the job that Next() gave.
  void Placed();
  // It does not fit. Its class is skipped for the rest of the pass in every queue (`everywhere`: no
  // node has room) or in its own (its queue's quota is used up); a queue with
  // HeadOfLine::kBlock is done, and one of which backfill_depth jobs were looked at behind the
  // first that failed.
  enum class Failure { kNoRoom, kQuota, kThisJobOnly };
  void Failed(Failure failure);

  int64_t num_considered() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
