// File: compute_fabric/controller/job_requests.h
//
// What people ask of jobs: submit, plan, cancel, retry. Each checks the caller's rights, tells the
// audit sink, and is durable when OK.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"

namespace oneai::fabric {

// Thread-safe. The pointers must outlive it.
class JobRequests {
 public:
  JobRequests(FabricState* state, const ControllerHooks* hooks, const ControllerOptions* options)
      : state_(state), hooks_(hooks), options_(options) {}

  // See JobService.SubmitJob.
  absl::StatusOr<v1::SubmitJobResponse> Submit(const v1::SubmitJobRequest& request,
                                               const Identity& caller);
  absl::StatusOr<v1::PlanJobResponse> Plan(const v1::PlanJobRequest& request,
                                           const Identity& caller) const;
  absl::StatusOr<v1::Job> Cancel(const v1::CancelJobRequest& request, const Identity& caller);
  absl::StatusOr<v1::Job> Retry(const v1::RetryJobRequest& request, const Identity& caller);

  // NotFound; PermissionDenied when the caller may not see it.
  absl::StatusOr<v1::Job> Get(const std::string& id, const Identity& caller) const;
  // Newest first.
  v1::ListJobsResponse List(const v1::ListJobsRequest& request, const Identity& caller) const;

  // Submit after the checks of rights, together with the endpoint that the job serves
  // (FabricState::CreateJob). Aborted: the endpoint has changed.
  absl::StatusOr<v1::SubmitJobResponse> SubmitChecked(const v1::SubmitJobRequest& request,
                                                      const Identity& caller,
                                                      const v1::Endpoint* endpoint = nullptr,
                                                      int64_t endpoint_revision = 0);

  // OK when all tasks of the job could run on this fabric. InvalidArgument, ResourceExhausted
  // (quota).
  absl::Status CheckFits(const v1::JobSpec& spec) const;

 private:
  absl::StatusOr<v1::JobSpec> Prepare(const v1::JobSpec& spec, const Identity& caller) const;
  v1::Job NewJob(const v1::JobSpec& spec, const Identity& caller) const;
  absl::Status Authorize(const Identity& caller, Permission permission, const std::string& project,
                         const std::string& action, const std::string& resource) const;
  void Audit(const Identity& caller, const std::string& action, const std::string& resource,
             const absl::Status& outcome) const;

  FabricState* const state_;
  const ControllerHooks* const hooks_;
  const ControllerOptions* const options_;
};

}  // namespace oneai::fabric
