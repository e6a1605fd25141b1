// File: compute_fabric/controller/fabric_usage.h
//
// Who has used what: added up from the jobs' own records (jobs/job_usage.h) and, for jobs that
// retention has deleted, from totals that were written as they went. Nothing is counted twice or
// lost: a job's usage moves from its record to the totals in one transaction.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "oneai/fabric/v1/queue.pb.h"

namespace oneai::fabric {

// Usage of the units that the caller may see, by unit, project, user, resource (and day). Tasks
// that run count up to now. InvalidArgument: `to` before `from`. DataLoss.
absl::StatusOr<v1::GetFabricUsageResponse> GetFabricUsage(const FabricState& state,
                                                          const v1::GetFabricUsageRequest& request,
                                                          const Identity& caller);

// Adds to `transaction` what moves the usage of `jobs` to the totals. Compares the totals: a commit
// that is Aborted changed nothing. DataLoss.
absl::Status MoveUsageToTotals(FabricState& state, const std::vector<JobRecord>& jobs,
                               Transaction& transaction);

}  // namespace oneai::fabric
