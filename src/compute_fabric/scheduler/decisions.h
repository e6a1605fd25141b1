// File: compute_fabric/scheduler/decisions.h
//
// What Plan answers. Every decision and every refusal carries its reason in words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

struct JobPlacement {
  std::string job_id;
  std::vector<TaskPlacement> tasks;  // by rank; an elastic gang may get fewer than it would like
  std::string reason;  // "backfilled: ends before job-7 starts on node-a", "" for the plain case
};

enum class EvictionCause {
  kPriority,     // a more important job of the same queue, or one within its own quota
  kReclaim,      // its queue borrowed what another queue now wants back
  kMaintenance,  // its node is kept from now on
  kDrain,
};

// The whole job is stopped, with its warning and grace; it becomes pending again at no cost to it.
struct Eviction {
  std::string job_id;
  EvictionCause cause = EvictionCause::kPriority;
  std::string for_job;  // who gets the place; empty for maintenance and drain
  std::string reason;   // "retail/nlp takes back 4 nvidia-h100-80g it lent to finance/risk"
};

// An elastic gang should run with `tasks` ranks from its next checkpoint on.
struct Resize {
  std::string job_id;
  int tasks = 0;
  std::string reason;
};

// A job that waits, and when its place is expected to be free by the time limits of what runs.
struct PlannedStart {
  std::string job_id;
  absl::Time start = absl::InfiniteFuture();
  std::vector<std::string> nodes;
};

struct PlanResult {
  std::vector<JobPlacement> placements;  // in the order decided
  std::vector<Eviction> evictions;
  std::vector<Resize> resizes;
  std::vector<PlannedStart> planned_starts;
  int64_t num_considered = 0;  // jobs looked at, for the metric of a pass's cost
};

// Why a job (or the rest of it) waits.
struct Explanation {
  std::vector<std::string> reasons;  // every blocker, most telling first
  std::string smallest_change;  // "would start now with 2 tasks instead of 4"; empty: none known
  absl::Time planned_start = absl::InfiniteFuture();
  int queue_position = 0;                // among the waiting jobs of its queue, 1 for the first
  std::vector<std::string> would_evict;  // what-if: jobs that would be preempted
};

}  // namespace oneai::fabric
