// File: compute_fabric/controller/job_requests.h
//
// What people ask of jobs: submit, plan, cancel, retry. Each checks the caller's rights, tells the
// audit sink, and is durable when OK.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/live_schedule.h"
#include "compute_fabric/jobs/job_array.h"

namespace oneai::fabric {

// Thread-safe. The pointers must outlive it.
class JobRequests {
 public:
  JobRequests(FabricState* state, LiveSchedule* schedule, const ControllerHooks* hooks,
              const ControllerOptions* options)
      : state_(state), schedule_(schedule), hooks_(hooks), options_(options) {}

  // See JobService.SubmitJob. An array is whole when OK is returned; cut off before, the same
  // request goes on where it stopped.
  absl::StatusOr<v1::SubmitJobResponse> Submit(const v1::SubmitJobRequest& request,
                                               const Identity& caller);
  absl::StatusOr<v1::PlanJobResponse> Plan(const v1::PlanJobRequest& request,
                                           const Identity& caller) const;
  absl::StatusOr<v1::Job> Cancel(const v1::CancelJobRequest& request, const Identity& caller);
  absl::StatusOr<v1::Job> Retry(const v1::RetryJobRequest& request, const Identity& caller);

  // See JobService.ExplainJob.
  absl::StatusOr<v1::Explanation> Explain(const std::string& id, const Identity& caller) const;
  // The job as it is shown: one that waits says why, as of now.
  v1::Job Describe(const v1::Job& job) const;

  // NotFound; PermissionDenied when the caller may not see it.
  absl::StatusOr<v1::Job> Get(const std::string& id, const Identity& caller) const;
  // Newest first. So that a list stays cheap, only the first few that wait say why as of now.
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
  // The spec with what follows from it filled in. InvalidArgument.
  absl::StatusOr<v1::JobSpec> Complete(const v1::JobSpec& given, const Identity& caller) const;
  // Whether it may run at all: dependencies, machines, quota, data policies.
  absl::Status Admit(const v1::JobSpec& spec, const Identity& caller) const;
  absl::StatusOr<v1::JobSpec> Prepare(const v1::JobSpec& given, const Identity& caller) const;
  // Runs `submit` unless the same request is being carried out already (Unavailable).
  absl::StatusOr<v1::SubmitJobResponse> Once(
      const std::string& request_key,
      absl::FunctionRef<absl::StatusOr<v1::SubmitJobResponse>()> submit);
  absl::StatusOr<v1::SubmitJobResponse> SubmitOne(const v1::SubmitJobRequest& request,
                                                  const std::string& request_key,
                                                  const Identity& caller,
                                                  const v1::Endpoint* endpoint,
                                                  int64_t endpoint_revision);
  v1::Job NewJob(const v1::JobSpec& spec, const Identity& caller, std::string id) const;
  // What an earlier use of the request made; empty: there was none.
  absl::StatusOr<std::string> FindEarlier(const std::string& request_key) const;

  absl::StatusOr<v1::SubmitJobResponse> SubmitArray(const v1::SubmitJobRequest& request,
                                                    const Identity& caller);
  absl::StatusOr<v1::SubmitJobResponse> SubmitAll(const v1::SubmitJobRequest& request,
                                                  const std::string& request_key,
                                                  const Identity& caller);
  // `admit`: asks Admit of them, too.
  absl::StatusOr<std::vector<v1::Job>> JobsOfArray(const v1::SubmitJobRequest& request,
                                                   const Identity& caller, bool admit) const;
  v1::JobArray NewArray(const v1::SubmitJobRequest& request, const Identity& caller,
                        size_t num_jobs) const;
  absl::Status WriteArray(const Record<v1::JobArray>& array, const v1::SubmitJobRequest& request,
                          const Identity& caller);
  absl::StatusOr<v1::SubmitJobResponse> DescribeArray(const std::string& array_id,
                                                      bool already_existed) const;
  absl::StatusOr<v1::Job> CancelOne(const std::string& id, const std::string& reason);

  absl::Status Authorize(const Identity& caller, Permission permission, const std::string& project,
                         const std::string& action, const std::string& resource) const;
  void Audit(const Identity& caller, const std::string& action, const std::string& resource,
             const absl::Status& outcome) const;

  FabricState* const state_;
  LiveSchedule* const schedule_;
  const ControllerHooks* const hooks_;
  const ControllerOptions* const options_;

  // The keys of requests that are being carried out. A repetition that overtook its first sending
  // could be refused by a check that the first one has passed, and its job would be unknown to its
  // owner.
  absl::Mutex mu_;
  std::set<std::string> in_flight_ ABSL_GUARDED_BY(mu_);
};

// The key under which a request of a principal is remembered.
std::string RequestKey(const std::string& principal, const std::string& request_id);

}  // namespace oneai::fabric
