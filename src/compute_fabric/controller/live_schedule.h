// File: compute_fabric/controller/live_schedule.h
//
// The scheduler's state, kept in step with the records: what changed since the last look is taken
// over before anything is decided or explained.
//
//   records that changed -> views -> SchedulerState -> Plan | Explain | PlanWhatIf
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/job_timers.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/plan.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// A queue's standing that only the scheduler knows.
struct QueueStanding {
  double dominant_share = 0;
  std::map<std::string, double> decayed_use;
};

// Thread-safe; the pointers must outlive it. Does no I/O. Each call costs what changed since the
// last one, and its own work.
class LiveSchedule {
 public:
  LiveSchedule(FabricState* state, const ControllerOptions* options)
      : records_(state), options_(options) {}

  // Whether a pass could decide anything new: something changed, or jobs wait and time has passed.
  bool PassIsDue(absl::Time now);
  // One pass. What of its decisions is not carried out must be named to Reconsider.
  PlanResult Plan(absl::Time now);
  // The job is looked at again as its record says.
  void Reconsider(const std::string& job_id);

  // Why a job waits; for one that does not, its gates or nothing.
  Explanation Explain(const v1::Job& job, absl::Time now);
  // Where a job that is not there would go.
  WhatIf Try(const v1::Job& job, absl::Time now);
  // Whether the job could ever run: on these machines (InvalidArgument), within its queue's limits
  // (ResourceExhausted).
  absl::Status CheckFeasible(const v1::Job& job, absl::Time now);

  QueueStanding StandingOf(const std::string& queue, absl::Time now);
  // The tree as it is used, with the sandboxes that nobody wrote.
  std::vector<QueueSpec> Queues(absl::Time now);

 private:
  void Refresh(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefreshNodes(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefreshArrays() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefreshJobs(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefreshQueues() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeJob(const std::string& id, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The jobs of a bounded array whose turn it is; those whose turn changed are marked.
  void MoveWindow(const std::string& array_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whom the job would preempt, were its turn now.
  void AddVictims(const JobView& job, absl::Time now, Explanation& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Amounts SandboxAmounts() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  FabricState* const records_;
  const ControllerOptions* const options_;

  absl::Mutex mu_;
  SchedulerState state_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> dirty_ ABSL_GUARDED_BY(mu_);  // jobs
  std::map<std::string, int64_t> node_revisions_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> array_revisions_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::set<std::string>> windows_ ABSL_GUARDED_BY(mu_);  // by array
  std::set<std::string> units_ ABSL_GUARDED_BY(mu_);
  JobTimers timers_ ABSL_GUARDED_BY(mu_);
  int64_t nodes_version_ ABSL_GUARDED_BY(mu_) = -1;
  int64_t reservations_version_ ABSL_GUARDED_BY(mu_) = -1;
  int64_t queues_version_ ABSL_GUARDED_BY(mu_) = -1;
  int64_t arrays_version_ ABSL_GUARDED_BY(mu_) = -1;
  Amounts capacity_of_queues_ ABSL_GUARDED_BY(mu_);
  size_t units_of_queues_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<QueueSpec> queues_ ABSL_GUARDED_BY(mu_);
  bool knows_past_ ABSL_GUARDED_BY(mu_) = false;
  bool changed_ ABSL_GUARDED_BY(mu_) = true;  // since the last pass
  absl::Time last_pass_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  std::set<std::string> last_placed_ ABSL_GUARDED_BY(mu_);         // by the last pass
  absl::Time latest_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();  // the clock when last seen
};

}  // namespace oneai::fabric
