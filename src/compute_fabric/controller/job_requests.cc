#include "compute_fabric/controller/job_requests.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "compute_fabric/first_scheduler/feasibility.h"
#include "compute_fabric/first_scheduler/plan.h"

namespace oneai::fabric {
namespace {

absl::Status ValidateRequestId(absl::string_view id) {
  const bool valid =
      !id.empty() && id.size() <= 128 &&
      std::all_of(id.begin(), id.end(), [](char c) { return absl::ascii_isgraph(c) && c != '/'; });
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "request_id: must be 1 to 128 printable characters without '/'; use a new random one for "
      "each job and the same one when retrying");
}

std::vector<std::string> KindNames(const ControllerHooks& hooks) {
  std::vector<std::string> names;
  for (const JobKind& kind : hooks.kinds) names.push_back(kind.name);
  return names;
}

std::vector<int> AllRanks(const v1::JobSpec& spec) {
  std::vector<int> ranks;
  for (int rank = 0; rank < spec.num_tasks(); ++rank) ranks.push_back(rank);
  return ranks;
}

absl::Status NoSuchJob(absl::string_view id) {
  return absl::NotFoundError(
      absl::StrCat("no job ", id.substr(0, 128), "; `oneai job list` shows what there is"));
}

}  // namespace

void JobRequests::Audit(const Identity& caller, const std::string& action,
                        const std::string& resource, const absl::Status& outcome) const {
  if (hooks_->audit)
    hooks_->audit({caller, action, resource, outcome.ok(), std::string(outcome.message())});
}

absl::Status JobRequests::Authorize(const Identity& caller, Permission permission,
                                    const std::string& project, const std::string& action,
                                    const std::string& resource) const {
  const absl::Status allowed = CheckPermission(caller, permission, BusinessUnitOf(project));
  if (!allowed.ok()) Audit(caller, action, resource, allowed);
  return allowed;
}

absl::StatusOr<v1::JobSpec> JobRequests::Prepare(const v1::JobSpec& given,
                                                 const Identity& caller) const {
  RETURN_IF_ERROR(ValidateJobSpec(given, KindNames(*hooks_)));
  v1::JobSpec spec = given;
  for (const JobKind& kind : hooks_->kinds) {
    if (kind.name != spec.kind()) continue;
    if (kind.validate) RETURN_IF_ERROR(kind.validate(given.config_json(), caller, spec));
    spec.mutable_command()->Clear();
    for (const std::string& argument : kind.argv) spec.add_command(argument);
  }
  RETURN_IF_ERROR(CheckFits(spec));
  if (hooks_->admission) RETURN_IF_ERROR(hooks_->admission(spec, caller));
  return spec;
}

absl::Status JobRequests::CheckFits(const v1::JobSpec& spec) const {
  v1::Job job;
  *job.mutable_spec() = spec;
  // A batch of independent tasks may run one after the other; a gang and replicas must be there
  // together.
  const bool together = spec.gang() || spec.long_running();
  const PendingJob pending = MakePendingJob(job, together ? AllRanks(spec) : std::vector<int>{0});
  const ClusterSnapshot snapshot =
      MakeSnapshot({}, state_->nodes().All(), state_->queues().All(), state_->Now());
  RETURN_IF_ERROR(CanEverFit(pending, snapshot.nodes));
  const auto queue = snapshot.queues.find(spec.project());
  return queue == snapshot.queues.end() ? absl::OkStatus()
                                        : QuotaCanEverAdmit(pending, queue->second);
}

v1::Job JobRequests::NewJob(const v1::JobSpec& spec, const Identity& caller) const {
  v1::Job job;
  job.set_id(NewId("job-"));
  *job.mutable_spec() = spec;
  *job.mutable_owner() = caller.principal;
  job.set_state(v1::PENDING);
  SetTime(job.mutable_submitted(), state_->Now());
  job.set_artifact_dir((options_->artifact_dir / job.id()).string());
  return job;
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::Submit(const v1::SubmitJobRequest& request,
                                                          const Identity& caller) {
  const std::string resource = absl::StrCat("project/", request.spec().project());
  RETURN_IF_ERROR(ValidateProject(request.spec().project()));
  RETURN_IF_ERROR(
      Authorize(caller, Permission::kSubmitJob, request.spec().project(), "job.submit", resource));
  if (request.spec().kind() == "serve") {
    return absl::InvalidArgumentError(
        "kind: jobs of kind serve are made by `oneai endpoint deploy`");
  }
  absl::StatusOr<v1::SubmitJobResponse> response = SubmitChecked(request, caller);
  if (!response.ok()) {
    Audit(caller, "job.submit", resource, response.status());
  } else if (!response->already_existed()) {
    Audit(caller, "job.submit", absl::StrCat("job/", response->job().id()), absl::OkStatus());
  }
  return response;
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::SubmitChecked(
    const v1::SubmitJobRequest& request, const Identity& caller, const v1::Endpoint* endpoint,
    int64_t endpoint_revision) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  const std::string request_key =
      absl::StrCat("requests/", caller.principal.name(), "/", request.request_id());
  v1::SubmitJobResponse response;
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<KeyValue> earlier = state_->store().Get(request_key);
    if (earlier.ok()) {
      const JobRecord job = state_->jobs().Find(earlier->value);
      if (job.value == nullptr)
        return absl::UnavailableError("the same request is being committed; retry");
      // Names of principals are not unique among units: an answer must not show another's job.
      if (job.value->spec().project() != request.spec().project()) {
        return absl::AlreadyExistsError(
            "request_id: it made a job of another project; use a new random one for each job");
      }
      *response.mutable_job() = *job.value;
      response.set_already_existed(true);
      return response;
    }
    if (!absl::IsNotFound(earlier.status())) return earlier.status();
    ASSIGN_OR_RETURN(const v1::JobSpec spec, Prepare(request.spec(), caller));
    const v1::Job job = NewJob(spec, caller);
    const absl::StatusOr<JobRecord> created = state_->CreateJob(
        job, request_key,
        {{"job.submitted", job.id(), absl::StrCat(spec.name(), " of ", spec.project()), "info"}},
        endpoint, endpoint_revision);
    if (endpoint == nullptr && absl::IsAborted(created.status()))
      continue;  // the same request came twice at once
    RETURN_IF_ERROR(created.status());
    *response.mutable_job() = *created->value;
    return response;
  }
  return absl::UnavailableError("the same request is being committed; retry");
}

absl::StatusOr<v1::PlanJobResponse> JobRequests::Plan(const v1::PlanJobRequest& request,
                                                      const Identity& caller) const {
  RETURN_IF_ERROR(ValidateProject(request.spec().project()));
  RETURN_IF_ERROR(Authorize(caller, Permission::kSubmitJob, request.spec().project(), "job.plan",
                            absl::StrCat("project/", request.spec().project())));
  ASSIGN_OR_RETURN(const v1::JobSpec spec, Prepare(request.spec(), caller));
  v1::Job job = NewJob(spec, caller);
  const absl::Time now = state_->Now();
  ClusterSnapshot snapshot =
      MakeSnapshot(state_->jobs().All(), state_->nodes().All(), state_->queues().All(), now);
  snapshot.pending.push_back(MakePendingJob(job, AllRanks(spec)));
  const PlacementPlan plan = fabric::Plan(snapshot, now);
  v1::PlanJobResponse response;
  response.set_fits_now(true);
  for (const JobPlacement& placement : plan.placements) {
    if (placement.job_id != job.id()) continue;
    for (const TaskPlacement& task : placement.tasks) {
      response.add_placements(
          absl::StrCat("rank ", task.rank, " -> ", task.node,
                       task.device ? absl::StrCat(" (", task.device->kind, ")") : ""));
    }
  }
  for (const PendingReason& pending : plan.pending) {
    if (pending.job_id != job.id()) continue;
    response.set_fits_now(false);
    for (const std::string& reason : pending.reasons) response.add_reasons(reason);
  }
  return response;
}

absl::StatusOr<v1::Job> JobRequests::Get(const std::string& id, const Identity& caller) const {
  const JobRecord job = state_->jobs().Find(id);
  if (job.value == nullptr) return NoSuchJob(id);
  RETURN_IF_ERROR(Authorize(caller, Permission::kViewFabric, job.value->spec().project(),
                            "job.view", absl::StrCat("job/", id)));
  return *job.value;
}

v1::ListJobsResponse JobRequests::List(const v1::ListJobsRequest& request,
                                       const Identity& caller) const {
  v1::ListJobsResponse response;
  response.set_revision(state_->store().revision());
  std::vector<JobRecord> jobs = state_->jobs().All();
  std::sort(jobs.begin(), jobs.end(), [](const JobRecord& a, const JobRecord& b) {
    return GetTime(a.value->submitted()) > GetTime(b.value->submitted());
  });
  for (const JobRecord& job : jobs) {
    if (!request.project().empty() && job.value->spec().project() != request.project()) continue;
    if (request.active_only() && IsFinished(job.value->state())) continue;
    if (!CheckPermission(caller, Permission::kViewFabric,
                         BusinessUnitOf(job.value->spec().project()))
             .ok())
      continue;
    *response.add_jobs() = *job.value;
  }
  return response;
}

absl::StatusOr<v1::Job> JobRequests::Cancel(const v1::CancelJobRequest& request,
                                            const Identity& caller) {
  const JobRecord job = state_->jobs().Find(request.id());
  if (job.value == nullptr) return NoSuchJob(request.id());
  const std::string resource = absl::StrCat("job/", request.id());
  RETURN_IF_ERROR(Authorize(caller, Permission::kCancelJob, job.value->spec().project(),
                            "job.cancel", resource));
  const std::string who = absl::StrCat("by ", caller.principal.name());
  const std::string reason =
      request.reason().empty() ? who : absl::StrCat(who, ": ", Printable(request.reason(), 512));
  const absl::StatusOr<JobRecord> cancelled =
      state_->UpdateJob(request.id(), [&](v1::Job& copy, EventDrafts& events) {
        return ApplyCancel(copy, reason, state_->Now(), events);
      });
  Audit(caller, "job.cancel", resource, cancelled.status());
  RETURN_IF_ERROR(cancelled.status());
  return *cancelled->value;
}

absl::StatusOr<v1::Job> JobRequests::Retry(const v1::RetryJobRequest& request,
                                           const Identity& caller) {
  const JobRecord job = state_->jobs().Find(request.id());
  if (job.value == nullptr) return NoSuchJob(request.id());
  const std::string resource = absl::StrCat("job/", request.id());
  RETURN_IF_ERROR(Authorize(caller, Permission::kSubmitJob, job.value->spec().project(),
                            "job.retry", resource));
  // The rules and the machines may have changed since the first submit.
  RETURN_IF_ERROR(CheckFits(job.value->spec()));
  if (hooks_->admission) RETURN_IF_ERROR(hooks_->admission(job.value->spec(), caller));
  bool retried = false;
  ASSIGN_OR_RETURN(const JobRecord after,
                   state_->UpdateJob(request.id(), [&](v1::Job& copy, EventDrafts& events) {
                     return retried = ApplyRetry(copy, events);
                   }));
  if (!retried) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", request.id(), " is ", JobStateName(after.value->state()),
                     "; only a finished job can be retried (cancel it first)"));
  }
  Audit(caller, "job.retry", resource, absl::OkStatus());
  return *after.value;
}

}  // namespace oneai::fabric
