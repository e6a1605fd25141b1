// File: compute_fabric/controller/job_retention.h
//
// Finished jobs are kept for a while, then deleted with their output; what they used stays in the
// totals. Artifacts (checkpoints) are not touched.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/joblog/log_store.h"

namespace oneai::fabric {

// The pointers must outlive it. Thread-compatible.
class JobRetention {
 public:
  JobRetention(FabricState* state, LogStore* logs, const ControllerOptions* options)
      : state_(state), logs_(logs), options_(options) {}

  // Deletes what is due, a bounded number a call, at most once in a while. Kept however old: a job
  // that an unfinished job depends on, and the job of an endpoint that exists. An array that was
  // never made whole goes after an hour: nobody was told of it. A reservation goes a day after its
  // end.
  absl::Status Step(absl::Time now);

 private:
  absl::Status DeleteFinished(absl::Time now);
  absl::Status DeleteAbandonedArrays(absl::Time now);
  absl::Status DeleteOldReservations(absl::Time now);
  absl::Status Delete(const std::vector<JobRecord>& jobs,
                      const std::vector<Record<v1::JobArray>>& arrays);
  bool IsNeeded(const v1::Job& job) const;

  FabricState* const state_;
  LogStore* const logs_;
  const ControllerOptions* const options_;
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace oneai::fabric
