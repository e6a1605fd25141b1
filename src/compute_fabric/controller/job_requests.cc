#include "compute_fabric/controller/job_requests.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/first_scheduler/feasibility.h"
#include "compute_fabric/first_scheduler/plan.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

std::vector<int> AllRanks(const v1::JobSpec& spec) {
  std::vector<int> ranks;
  for (int rank = 0; rank < spec.num_tasks(); ++rank) ranks.push_back(rank);
  return ranks;
}

constexpr size_t kListedDefault = 1000;
constexpr size_t kListedMax = 10'000;

bool NewerFirst(const JobRecord& a, const JobRecord& b) {
  const auto& x = a.value->submitted();
  const auto& y = b.value->submitted();
  if (x.seconds() != y.seconds()) return x.seconds() > y.seconds();
  if (x.nanos() != y.nanos()) return x.nanos() > y.nanos();
  // An array is submitted at one instant: its first job first.
  if (a.value->array_index() != b.value->array_index())
    return a.value->array_index() < b.value->array_index();
  return a.value->id() < b.value->id();
}

absl::Status NoSuchJob(absl::string_view id) {
  return absl::NotFoundError(
      absl::StrCat("no job ", id.substr(0, 128), "; `oneai job list` shows what there is"));
}

}  // namespace

std::string RequestKey(const std::string& principal, const std::string& request_id) {
  return absl::StrCat("requests/", principal, "/", request_id);
}

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

absl::StatusOr<v1::PlanJobResponse> JobRequests::Plan(const v1::PlanJobRequest& request,
                                                      const Identity& caller) const {
  RETURN_IF_ERROR(ValidateProject(request.spec().project()));
  RETURN_IF_ERROR(Authorize(caller, Permission::kSubmitJob, request.spec().project(), "job.plan",
                            absl::StrCat("project/", request.spec().project())));
  ASSIGN_OR_RETURN(const v1::JobSpec spec, Prepare(request.spec(), caller));
  const v1::Job job = NewJob(spec, caller, NewId("job-"));
  const absl::Time now = state_->Now();
  ClusterSnapshot snapshot = MakeSnapshot(state_->FindJobs(state_->job_index().Unfinished()),
                                          state_->nodes().All(), state_->queues().All(), now);
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
  const JobIndex& index = state_->job_index();
  std::vector<JobRecord> jobs;
  if (!request.array_id().empty()) {
    jobs = state_->FindJobs(index.OfArray(request.array_id()));
  } else {
    jobs = request.active_only() ? state_->FindJobs(index.Unfinished()) : state_->jobs().All();
  }
  std::erase_if(jobs, [&](const JobRecord& job) {
    const v1::JobSpec& spec = job.value->spec();
    if (!request.project().empty() && spec.project() != request.project()) return true;
    if (request.active_only() && IsFinished(job.value->state())) return true;
    return !CheckPermission(caller, Permission::kViewFabric, BusinessUnitOf(spec.project())).ok();
  });
  const size_t limit = request.limit() <= 0
                           ? kListedDefault
                           : std::min<size_t>(static_cast<size_t>(request.limit()), kListedMax);
  const size_t num_shown = std::min(limit, jobs.size());
  std::partial_sort(jobs.begin(), jobs.begin() + static_cast<std::ptrdiff_t>(num_shown), jobs.end(),
                    NewerFirst);
  for (size_t i = 0; i < num_shown; ++i) *response.add_jobs() = *jobs[i].value;
  response.set_num_more(static_cast<int64_t>(jobs.size() - num_shown));
  return response;
}

absl::StatusOr<v1::Job> JobRequests::CancelOne(const std::string& id, const std::string& reason) {
  ASSIGN_OR_RETURN(const JobRecord cancelled,
                   state_->UpdateJob(id, [&](v1::Job& copy, EventDrafts& events) {
                     return ApplyCancel(copy, reason, state_->Now(), events);
                   }));
  return *cancelled.value;
}

absl::StatusOr<v1::Job> JobRequests::Cancel(const v1::CancelJobRequest& request,
                                            const Identity& caller) {
  std::vector<std::string> ids = state_->job_index().OfArray(request.id());
  if (ids.empty()) ids = {request.id()};
  const JobRecord job = state_->jobs().Find(ids[0]);
  if (job.value == nullptr) return NoSuchJob(request.id());
  const std::string resource = absl::StrCat("job/", request.id());
  RETURN_IF_ERROR(Authorize(caller, Permission::kCancelJob, job.value->spec().project(),
                            "job.cancel", resource));
  const std::string who = absl::StrCat("by ", caller.principal.name());
  const std::string reason =
      request.reason().empty() ? who : absl::StrCat(who, ": ", Printable(request.reason(), 512));
  // Last ones first: a job that ends would let the next one of a bounded array begin.
  absl::StatusOr<v1::Job> cancelled = absl::InternalError("no job");
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    cancelled = CancelOne(*id, reason);
    if (!cancelled.ok()) break;
  }
  Audit(caller, "job.cancel", resource, cancelled.status());
  return cancelled;
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
