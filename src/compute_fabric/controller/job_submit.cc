// Submitting: check everything that can be checked, then write; a job in one transaction, an array
// in as many as it needs, the last of which makes it whole.
#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/reader.h"
#include "base/ids.h"
#include "base/status.h"
#include "compute_fabric/controller/job_gates.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/jobs/field_checks.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

// What a transaction of an array holds at most: etcd takes 128 operations and 1.5 MiB by default.
constexpr size_t kArrayJobsPerCommit = 100;
constexpr size_t kArrayBytesPerCommit = 512 << 10;

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

absl::Status BeingCommitted() {
  return absl::UnavailableError("the same request is being committed; retry");
}

absl::Status AtPoint(const ArrayPoint& point, const absl::Status& status) {
  std::string values = absl::StrJoin(point.values, ", ", absl::PairFormatter("="));
  return Annotate(status, absl::StrCat("array index ", point.index, values.empty() ? "" : " (",
                                       values, values.empty() ? "" : ")"));
}

// A queue that nobody set up has no limits: a misspelt one must not become a way around those of
// the project.
absl::Status CheckQueue(const FabricState& state, const v1::JobSpec& spec) {
  const std::string& queue = QueueOf(spec);
  const std::string unit(BusinessUnitOf(spec.project()));
  const std::string sandbox = absl::StrCat(unit, "/sandbox");
  if (queue == spec.project() || queue == sandbox || state.queues().Find(queue).value != nullptr)
    return absl::OkStatus();
  std::vector<std::string> known = {spec.project(), sandbox};
  for (const Record<v1::Queue>& one : state.queues().All()) {
    if (BusinessUnitOf(one.value->project()) == unit) known.push_back(one.value->project());
  }
  return Wrong("queue", absl::StrCat(Shown(queue), " is no queue of ", unit,
                                     "; the nearest valid value is \"",
                                     NearestWord(queue, known).value_or(spec.project()), "\""));
}

absl::Status CheckReservation(const FabricState& state, const v1::JobSpec& spec) {
  if (spec.reservation().empty()) return absl::OkStatus();
  const absl::string_view unit = BusinessUnitOf(spec.project());
  std::vector<std::string> usable;
  for (const Record<v1::Reservation>& one : state.reservations().All()) {
    const v1::Reservation& reservation = *one.value;
    const bool theirs = reservation.project().empty() || reservation.project() == spec.project() ||
                        reservation.project() == unit;
    if (reservation.kind() != v1::RESERVED || !theirs) continue;
    if (absl::FromUnixMillis(reservation.end_unix_ms()) <= state.Now()) continue;
    if (reservation.name() == spec.reservation()) return absl::OkStatus();
    usable.push_back(reservation.name());
  }
  const std::optional<std::string> nearest = NearestWord(spec.reservation(), usable);
  return Wrong(
      "reservation",
      absl::StrCat(Shown(spec.reservation()), " is no reservation that jobs of ", spec.project(),
                   " may name",
                   nearest          ? absl::StrCat("; the nearest valid value is ", *nearest)
                   : usable.empty() ? "; there is none"
                                    : absl::StrCat("; there are ", absl::StrJoin(usable, ", "))));
}

}  // namespace

absl::StatusOr<v1::JobSpec> JobRequests::Complete(const v1::JobSpec& given,
                                                  const Identity& caller) const {
  RETURN_IF_ERROR(ValidateJobSpec(given, KindNames(*hooks_)));
  v1::JobSpec spec = given;
  for (const JobKind& kind : hooks_->kinds) {
    if (kind.name != spec.kind()) continue;
    if (kind.validate) RETURN_IF_ERROR(kind.validate(given.config_json(), caller, spec));
    spec.mutable_command()->Clear();
    for (const std::string& argument : kind.argv) spec.add_command(argument);
  }
  if (!spec.priority_class().empty())
    spec.set_priority(PriorityOfClass(spec.priority_class()).value_or(0));
  return spec;
}

absl::Status JobRequests::Admit(const v1::JobSpec& spec, const Identity& caller) const {
  RETURN_IF_ERROR(CheckDependencies(*state_, spec, [&](const std::string& project) {
    return CheckPermission(caller, Permission::kViewFabric, BusinessUnitOf(project)).ok();
  }));
  RETURN_IF_ERROR(CheckQueue(*state_, spec));
  RETURN_IF_ERROR(CheckReservation(*state_, spec));
  RETURN_IF_ERROR(CheckFits(spec));
  return hooks_->admission ? hooks_->admission(spec, caller) : absl::OkStatus();
}

absl::StatusOr<v1::JobSpec> JobRequests::Prepare(const v1::JobSpec& given,
                                                 const Identity& caller) const {
  ASSIGN_OR_RETURN(v1::JobSpec spec, Complete(given, caller));
  RETURN_IF_ERROR(Admit(spec, caller));
  return spec;
}

v1::Job JobRequests::NewJob(const v1::JobSpec& spec, const Identity& caller, std::string id) const {
  v1::Job job;
  job.set_id(std::move(id));
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
  absl::StatusOr<v1::SubmitJobResponse> response =
      IsArray(request.spec()) ? SubmitArray(request, caller) : SubmitChecked(request, caller);
  if (!response.ok()) {
    Audit(caller, "job.submit", resource, response.status());
  } else if (!response->already_existed()) {
    Audit(caller, "job.submit",
          absl::StrCat("job/",
                       response->array_id().empty() ? response->job().id() : response->array_id()),
          absl::OkStatus());
  }
  return response;
}

absl::StatusOr<std::string> JobRequests::FindEarlier(const std::string& request_key) const {
  const absl::StatusOr<KeyValue> earlier = state_->store().Get(request_key);
  if (absl::IsNotFound(earlier.status())) return std::string();
  RETURN_IF_ERROR(earlier.status());
  return earlier->value;
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::Once(
    const std::string& request_key,
    absl::FunctionRef<absl::StatusOr<v1::SubmitJobResponse>()> submit) {
  {
    absl::MutexLock lock(&mu_);
    if (!in_flight_.insert(request_key).second) return BeingCommitted();
  }
  const absl::Cleanup landed = [&] {
    absl::MutexLock lock(&mu_);
    in_flight_.erase(request_key);
  };
  return submit();
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::SubmitChecked(
    const v1::SubmitJobRequest& request, const Identity& caller, const v1::Endpoint* endpoint,
    int64_t endpoint_revision) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  const std::string request_key = RequestKey(caller.principal.name(), request.request_id());
  return Once(request_key,
              [&] { return SubmitOne(request, request_key, caller, endpoint, endpoint_revision); });
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::SubmitOne(const v1::SubmitJobRequest& request,
                                                             const std::string& request_key,
                                                             const Identity& caller,
                                                             const v1::Endpoint* endpoint,
                                                             int64_t endpoint_revision) {
  v1::SubmitJobResponse response;
  for (int i = 0; i < 2; ++i) {
    ASSIGN_OR_RETURN(const std::string earlier, FindEarlier(request_key));
    if (!earlier.empty()) {
      const JobRecord job = state_->jobs().Find(earlier);
      if (job.value == nullptr) return BeingCommitted();
      // Names of principals are not unique among units: an answer must not show another's job.
      if (job.value->spec().project() != request.spec().project()) {
        return absl::AlreadyExistsError(
            "request_id: it made a job of another project; use a new random one for each job");
      }
      *response.mutable_job() = *job.value;
      response.add_job_ids(job.value->id());
      response.set_already_existed(true);
      return response;
    }
    ASSIGN_OR_RETURN(const v1::JobSpec spec, Prepare(request.spec(), caller));
    v1::Job job = NewJob(spec, caller, NewId("job-"));
    job.set_request_id(request.request_id());
    const absl::StatusOr<JobRecord> created = state_->CreateJob(
        job, request_key,
        {{"job.submitted", job.id(), absl::StrCat(spec.name(), " of ", spec.project()), "info"}},
        endpoint, endpoint_revision);
    if (endpoint == nullptr && absl::IsAborted(created.status()))
      continue;  // the same request came twice at once
    RETURN_IF_ERROR(created.status());
    *response.mutable_job() = *created->value;
    response.add_job_ids(job.id());
    return response;
  }
  return BeingCommitted();
}

absl::StatusOr<std::vector<v1::Job>> JobRequests::JobsOfArray(const v1::SubmitJobRequest& request,
                                                              const Identity& caller,
                                                              bool admit) const {
  // Without its array a spec must be a job like any other.
  ASSIGN_OR_RETURN(const std::vector<ArrayPoint> points, ExpandArray(request.spec()));
  std::vector<v1::Job> jobs;
  jobs.reserve(points.size());
  std::string admitted;
  for (const ArrayPoint& point : points) {
    const absl::StatusOr<v1::JobSpec> spec = Complete(SpecOfPoint(request.spec(), point), caller);
    if (!spec.ok()) return AtPoint(point, spec.status());
    // Points differ in their settings; what is admitted depends on the data alone, and the place
    // is the same for all.
    std::string data;
    for (const v1::DataUse& use : spec->data())
      absl::StrAppend(&data, use.dataset(), " ", use.purpose(), "\n");
    if (admit && (jobs.empty() || data != admitted)) {
      const absl::Status admission = Admit(*spec, caller);
      if (!admission.ok()) return jobs.empty() ? admission : AtPoint(point, admission);
      admitted = data;
    }
    v1::Job& job = jobs.emplace_back(NewJob(*spec, caller, ""));
    job.set_array_index(point.index);
    for (const auto& [name, value] : point.values) (*job.mutable_sweep_values())[name] = value;
  }
  return jobs;
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::SubmitArray(const v1::SubmitJobRequest& request,
                                                               const Identity& caller) {
  RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  const std::string request_key = RequestKey(caller.principal.name(), request.request_id());
  return Once(request_key, [&] { return SubmitAll(request, request_key, caller); });
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::SubmitAll(const v1::SubmitJobRequest& request,
                                                             const std::string& request_key,
                                                             const Identity& caller) {
  for (int i = 0; i < 3; ++i) {
    ASSIGN_OR_RETURN(const std::string earlier, FindEarlier(request_key));
    if (earlier.empty()) {
      ASSIGN_OR_RETURN(const std::vector<v1::Job> jobs,
                       JobsOfArray(request, caller, /*admit=*/true));
      const absl::Status begun =
          state_->PutArray(NewArray(request, caller, jobs.size()), 0, request_key, {});
      if (!begun.ok() && !absl::IsAborted(begun)) return begun;
      continue;
    }
    const Record<v1::JobArray> array = state_->arrays().Find(earlier);
    if (array.value == nullptr && absl::StartsWith(earlier, "array-")) return BeingCommitted();
    if (array.value == nullptr || array.value->project() != request.spec().project()) {
      return absl::AlreadyExistsError(
          "request_id: it made something else; use a new random one for each job");
    }
    if (array.value->whole()) return DescribeArray(earlier, /*already_existed=*/true);
    RETURN_IF_ERROR(WriteArray(array, request, caller));
    return DescribeArray(earlier, /*already_existed=*/false);
  }
  return BeingCommitted();
}

v1::JobArray JobRequests::NewArray(const v1::SubmitJobRequest& request, const Identity& caller,
                                   size_t num_jobs) const {
  v1::JobArray array;
  array.set_id(NewId("array-"));
  array.set_name(request.spec().name());
  array.set_project(request.spec().project());
  array.set_num_jobs(static_cast<int>(num_jobs));
  array.set_running_max(RunningMaxOf(request.spec()));
  *array.mutable_owner() = caller.principal;
  SetTime(array.mutable_submitted(), state_->Now());
  array.set_request_id(request.request_id());
  return array;
}

absl::Status JobRequests::WriteArray(const Record<v1::JobArray>& array,
                                     const v1::SubmitJobRequest& request, const Identity& caller) {
  // It was admitted when it was begun; refused now, its jobs would wait for the rest for ever.
  ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, JobsOfArray(request, caller, /*admit=*/false));
  if (static_cast<int>(jobs.size()) != array.value->num_jobs()) {
    return absl::AlreadyExistsError(
        "request_id: it began another array; use a new random one for each");
  }
  std::vector<v1::Job> chunk;
  size_t bytes = 0;
  const auto flush = [&]() -> absl::Status {
    absl::Status written = state_->CreateJobs(chunk, Transaction(), {});
    if (absl::IsAborted(written)) {
      // An earlier try got this far, or another one is at it: write what is missing.
      for (const v1::Job& job : chunk) {
        const absl::Status one = state_->CreateJobs({job}, Transaction(), {});
        if (!one.ok() && !absl::IsAborted(one)) return one;
      }
      // What it wrote without being told so must be known here before it is acknowledged.
      written = state_->ResolveDoubts();
    }
    chunk.clear();
    bytes = 0;
    return written;
  };
  for (v1::Job& job : jobs) {
    job.set_id(IdOfArrayJob(array.value->id(), job.array_index()));
    job.set_array_id(array.value->id());
    job.set_artifact_dir((options_->artifact_dir / job.id()).string());
    bytes += job.ByteSizeLong();
    chunk.push_back(std::move(job));
    if (chunk.size() == kArrayJobsPerCommit || bytes > kArrayBytesPerCommit)
      RETURN_IF_ERROR(flush());
  }
  if (!chunk.empty()) RETURN_IF_ERROR(flush());
  v1::JobArray whole = *array.value;
  whole.set_whole(true);
  const absl::Status ended = state_->PutArray(
      whole, array.revision, "",
      {{"array.submitted", whole.id(),
        absl::StrCat(whole.num_jobs(), " jobs ", whole.name(), " of ", whole.project()), "info"}});
  return absl::IsAborted(ended) ? BeingCommitted() : ended;
}

absl::StatusOr<v1::SubmitJobResponse> JobRequests::DescribeArray(const std::string& array_id,
                                                                 bool already_existed) const {
  v1::SubmitJobResponse response;
  response.set_array_id(array_id);
  response.set_already_existed(already_existed);
  for (std::string& id : state_->job_index().OfArray(array_id)) response.add_job_ids(std::move(id));
  if (response.job_ids_size() == 0) return BeingCommitted();
  const JobRecord first = state_->jobs().Find(response.job_ids(0));
  if (first.value != nullptr) *response.mutable_job() = *first.value;
  return response;
}

}  // namespace oneai::fabric
