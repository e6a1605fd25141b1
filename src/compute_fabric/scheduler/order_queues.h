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
// The next job is the head of the queue that goes first by QueueTree::GoesBefore among queues with
// jobs left; a higher priority goes first among queues that are equal in it. Within a queue: job
// order. O(log) per step, whatever the number of jobs.
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
  // HeadOfLine::kBlock is done.
  enum class Failure { kNoRoom, kQuota, kThisJobOnly };
  void Failed(Failure failure);

  int64_t num_considered() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
