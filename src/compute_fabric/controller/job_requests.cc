#include "compute_fabric/controller/job_requests.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status.h"
#include "compute_fabric/controller/job_gates.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "compute_fabric/scheduler/describe.h"

namespace oneai::fabric {
namespace {

constexpr size_t kListedDefault = 1000;
constexpr size_t kListedMax = 10'000;
constexpr int kExplainedMax = 20;

// "job-x (low, finance/risk): loses 12m of 8 devices"
std::string DescribeVictim(const v1::Job& job, absl::Time now) {
  absl::Time since = job.has_attempt_started() ? GetTime(job.attempt_started()) : now;
  if (job.has_last_checkpoint_time()) since = std::max(since, GetTime(job.last_checkpoint_time()));
  double devices = 0;
  double cores = 0;
  for (const v1::Task& task : job.tasks()) {
    if (!IsActive(task.state())) continue;
    cores += static_cast<double>(job.spec().resources().cpu_milli()) / 1000;
    for (const v1::DeviceGrant& grant : task.grants()) devices += grant.milli() / 1000.0;
  }
  return absl::StrCat(
      job.id(), " (", DescribePriority(job.spec().priority()), ", ", job.spec().project(),
      "): loses ", FormatLength(now - since), " of ",
      devices > 0 ? absl::StrCat(devices, " devices") : absl::StrCat(cores, " cores"));
}

v1::Explanation MakeExplanation(const Explanation& why, const FabricState& state) {
  v1::Explanation result;
  for (const std::string& reason : why.reasons) result.add_reasons(reason);
  result.set_smallest_change(why.smallest_change);
  result.set_queue_position(why.queue_position);
  if (why.planned_start < absl::InfiniteFuture())
    SetTime(result.mutable_planned_start(), why.planned_start);
  for (const std::string& id : why.would_evict) {
    const JobRecord job = state.jobs().Find(id);
    if (job.value != nullptr) result.add_would_preempt(DescribeVictim(*job.value, state.Now()));
  }
  return result;
}

// What the controller itself noted: why a placement that was decided could not be made, why the
// job lost its place.
void AddStoredReasons(const v1::Job& job, v1::Explanation& why) {
  for (const std::string& reason : job.reasons()) {
    const auto& known = why.reasons();
    if (std::find(known.begin(), known.end(), reason) == known.end()) why.add_reasons(reason);
  }
  if (why.reasons().empty()) why.add_reasons("will be placed in the next pass");
}

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
  if (absl::StartsWith(id, "array-")) {
    return absl::NotFoundError(absl::StrCat("no job ", id.substr(0, 128),
                                            "; `oneai job list --array ", id.substr(0, 128),
                                            "` shows the jobs of an array"));
  }
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
  job.set_state(v1::PENDING);
  // A batch of independent tasks may run one after the other; a gang and replicas must be there
  // together.
  if (!spec.gang() && !spec.long_running()) job.mutable_spec()->set_num_tasks(1);
  return schedule_->CheckFeasible(job, state_->Now());
}

absl::StatusOr<v1::PlanJobResponse> JobRequests::Plan(const v1::PlanJobRequest& request,
                                                      const Identity& caller) const {
  RETURN_IF_ERROR(ValidateProject(request.spec().project()));
  RETURN_IF_ERROR(Authorize(caller, Permission::kSubmitJob, request.spec().project(), "job.plan",
                            absl::StrCat("project/", request.spec().project())));
  ASSIGN_OR_RETURN(const std::vector<ArrayPoint> points, ExpandArray(request.spec()));
  ASSIGN_OR_RETURN(
      const v1::JobSpec spec,
      Prepare(points.empty() ? request.spec() : SpecOfPoint(request.spec(), points[0]), caller));
  const v1::Job job = NewJob(spec, caller, NewId("job-"));
  const std::vector<std::string> gates = GatesOf(*state_, job);
  const WhatIf what_if = schedule_->Try(job, state_->Now());
  v1::PlanJobResponse response;
  response.set_fits_now(gates.empty() && !what_if.placement.tasks.empty());
  for (const TaskPlacement& task : what_if.placement.tasks) {
    response.add_placements(
        absl::StrCat("rank ", task.rank, " -> ", task.node,
                     task.device ? absl::StrCat(" (", DescribeDevice(*task.device), ")") : ""));
  }
  if (points.size() > 1)
    response.add_reasons(absl::StrCat("the first of ", points.size(), " jobs of the array"));
  for (const std::string& gate : gates) response.add_reasons(gate);
  const v1::Explanation why = MakeExplanation(what_if.explanation, *state_);
  response.mutable_reasons()->MergeFrom(why.reasons());
  *response.mutable_preempts() = why.would_preempt();
  if (why.has_planned_start()) *response.mutable_planned_start() = why.planned_start();
  response.set_smallest_change(why.smallest_change());
  return response;
}

absl::StatusOr<v1::Explanation> JobRequests::Explain(const std::string& id,
                                                     const Identity& caller) const {
  ASSIGN_OR_RETURN(const v1::Job job, Get(id, caller));
  const absl::Time now = state_->Now();
  if (RanksToPlace(job, now).empty()) {
    if (job.state() == v1::BACKOFF) {
      v1::Explanation backoff;
      *backoff.mutable_reasons() = job.reasons();
      SetTime(backoff.mutable_planned_start(), absl::FromUnixMillis(job.backoff_until_unix_ms()));
      return backoff;
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "job ", id, " does not wait: it is ", JobStateName(job.state()),
        job.reasons_size() > 0 ? absl::StrCat(" (", job.reasons(0), ")") : std::string()));
  }
  const JobRecord record = state_->jobs().Find(id);
  v1::Explanation why = MakeExplanation(schedule_->Explain(job, now), *state_);
  AddStoredReasons(record.value == nullptr ? job : *record.value, why);
  return why;
}

v1::Job JobRequests::Describe(const v1::Job& job) const {
  const absl::Time now = state_->Now();
  v1::Job shown = job;
  if (RanksToPlace(job, now).empty()) return shown;
  v1::Explanation why = MakeExplanation(schedule_->Explain(job, now), *state_);
  AddStoredReasons(job, why);
  *shown.mutable_reasons() = std::move(*why.mutable_reasons());
  shown.set_smallest_change(why.smallest_change());
  shown.set_queue_position(why.queue_position());
  if (why.has_planned_start()) *shown.mutable_planned_start() = why.planned_start();
  return shown;
}

absl::StatusOr<v1::Job> JobRequests::Get(const std::string& id, const Identity& caller) const {
  const JobRecord job = state_->jobs().Find(id);
  if (job.value == nullptr) return NoSuchJob(id);
  RETURN_IF_ERROR(Authorize(caller, Permission::kViewFabric, job.value->spec().project(),
                            "job.view", absl::StrCat("job/", id)));
  return Describe(*job.value);
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
  int num_explained = 0;
  for (size_t i = 0; i < num_shown; ++i) {
    const bool waits = jobs[i].value->state() == v1::PENDING;
    *response.add_jobs() =
        waits && num_explained++ < kExplainedMax ? Describe(*jobs[i].value) : *jobs[i].value;
  }
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
  RETURN_IF_ERROR(
      CheckDependencies(*state_, job.value->spec(), [](const std::string&) { return true; }));
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
