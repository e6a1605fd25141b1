#include "compute_fabric/controller/controller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/controller/live_schedule.h"
#include "compute_fabric/controller/node_sessions.h"
#include "compute_fabric/controller/schedule_loop.h"
#include "compute_fabric/controller/services.h"
#include "compute_fabric/endpoints/endpoint_requests.h"
#include "compute_fabric/endpoints/endpoint_scaler.h"
#include "compute_fabric/endpoints/endpoint_view.h"
#include "compute_fabric/endpoints/usage_ledger.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

absl::Status Validate(const ControllerOptions& options) {
  if (options.log_dir.empty() || options.artifact_dir.empty()) {
    return absl::InvalidArgumentError("log_dir and artifact_dir must be set");
  }
  if (options.lease < absl::Milliseconds(300))
    return absl::InvalidArgumentError("lease: at least 300 ms");
  if (options.node_fence < absl::ZeroDuration())
    return absl::InvalidArgumentError("node_fence: at least 0");
  if (options.sandbox_share < 0 || options.sandbox_share > 0.1)
    return absl::InvalidArgumentError("sandbox_share: from 0 to 0.1");
  if (options.job_retention < absl::Hours(1) || options.finished_jobs_max < 0) {
    return absl::InvalidArgumentError(
        "job_retention: at least an hour; finished_jobs_max: at least 0");
  }
  if (options.streams_max < 1 || options.log_bytes_max < 1024) {
    return absl::InvalidArgumentError("streams_max: at least 1; log_bytes_max: at least 1024");
  }
  return absl::OkStatus();
}

}  // namespace

struct Controller::Impl {
  Impl(Store* store, const Clock* clock, ControllerOptions options_in, ControllerHooks hooks_in)
      : options(std::move(options_in)),
        hooks(std::move(hooks_in)),
        state(store, clock, options.policy.price_per_hour),
        schedule(&state, &options),
        logs(options.log_dir, options.log_bytes_max),
        metrics(&logs),
        jobs(&state, &schedule, &hooks, &options),
        queues(&state, &schedule, &hooks),
        scaler(&state),
        rollout(&state, hooks.replica_adapters.get()),
        endpoints(&state, &jobs, &hooks, &scaler, options.latency_class_of_kind, &rollout),
        usage(&state),
        sessions(&state, &hooks, &options, &logs, &metrics),
        loop(&state, &schedule, &sessions, &logs, &options),
        gate(options.streams_max) {
    loop.SetEndpointStep([this](absl::Time now) { return scaler.Step(now); });
  }

  const ControllerOptions options;
  const ControllerHooks hooks;
  FabricState state;
  LiveSchedule schedule;
  LogStore logs;
  MetricStore metrics;
  JobRequests jobs;
  QueueRequests queues;
  EndpointScaler scaler;
  AdapterRollout rollout;
  EndpointRequests endpoints;
  UsageLedger usage;
  NodeSessions sessions;
  ScheduleLoop loop;
  CallGate gate;
  std::vector<std::unique_ptr<grpc::Service>> services;
};

Controller::Controller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Controller::~Controller() { Stop(); }

absl::StatusOr<std::unique_ptr<Controller>> Controller::Create(Store* store, const Clock* clock,
                                                               ControllerOptions options,
                                                               ControllerHooks hooks) {
  RETURN_IF_ERROR(Validate(options));
  auto impl = std::make_unique<Impl>(store, clock, std::move(options), std::move(hooks));
  RETURN_IF_ERROR(Annotate(impl->state.Load(), "read the fabric's state"));
  return std::unique_ptr<Controller>(new Controller(std::move(impl)));
}

std::vector<grpc::Service*> Controller::services(const Authenticator* authenticator) {
  if (impl_->services.empty()) {
    const ServiceDeps deps{.state = &impl_->state,
                           .jobs = &impl_->jobs,
                           .queues = &impl_->queues,
                           .endpoints = &impl_->endpoints,
                           .usage = &impl_->usage,
                           .scaler = &impl_->scaler,
                           .sessions = &impl_->sessions,
                           .logs = &impl_->logs,
                           .metrics = &impl_->metrics,
                           .gate = &impl_->gate,
                           .hooks = &impl_->hooks,
                           .authenticator = authenticator};
    impl_->services.push_back(NewJobService(deps));
    impl_->services.push_back(NewNodeService(deps));
    impl_->services.push_back(NewEndpointService(deps));
    impl_->services.push_back(NewQueueService(deps));
  }
  std::vector<grpc::Service*> services;
  for (const auto& service : impl_->services) services.push_back(service.get());
  return services;
}

void Controller::Start() {
  impl_->sessions.Start();
  impl_->loop.Start();
  impl_->rollout.Start();
  impl_->gate.Open();
}

void Controller::Stop() {
  impl_->gate.Close();
  impl_->rollout.Stop();
  impl_->loop.Stop();
}

std::vector<v1::Job> Controller::ListJobs() const {
  std::vector<v1::Job> jobs;
  for (const JobRecord& job : impl_->state.jobs().All()) jobs.push_back(*job.value);
  std::sort(jobs.begin(), jobs.end(), [](const v1::Job& a, const v1::Job& b) {
    return GetTime(a.submitted()) > GetTime(b.submitted());
  });
  return jobs;
}

absl::StatusOr<v1::Job> Controller::GetJob(const std::string& id) const {
  const JobRecord job = impl_->state.jobs().Find(id);
  if (job.value == nullptr) return absl::NotFoundError(absl::StrCat("no job ", id));
  return *job.value;
}

std::vector<v1::Node> Controller::ListNodes() const { return impl_->sessions.List(); }

std::vector<v1::Endpoint> Controller::ListEndpoints() const {
  std::vector<v1::Endpoint> endpoints;
  for (const Record<v1::Endpoint>& endpoint : impl_->state.endpoints().All()) {
    const JobRecord job = impl_->state.jobs().Find(endpoint.value->job_id());
    endpoints.push_back(DescribeEndpoint(*endpoint.value, job.value.get(), impl_->state.nodes()));
  }
  return endpoints;
}

std::vector<v1::Queue> Controller::ListQueues() const {
  return QueuesWithUse(impl_->state.queues().All(),
                       impl_->state.FindJobs(impl_->state.job_index().Unfinished()));
}

std::vector<v1::Event> Controller::ListEvents(const std::string& subject, int64_t limit) const {
  return impl_->state.events().List(subject, 0, limit);
}

v1::MetricSeriesList Controller::GetMetrics(const std::string& job_id) const {
  return impl_->metrics.Get(job_id, {});
}

absl::StatusOr<v1::LogChunk> Controller::ReadLog(const std::string& job_id, int rank, int attempt,
                                                 int64_t offset, int64_t bytes_max) const {
  ASSIGN_OR_RETURN(const v1::Job job, GetJob(job_id));
  for (const v1::Task& task : job.tasks()) {
    if (attempt == 0 && task.rank() == rank) attempt = task.attempt();
  }
  const LogName name{.job_id = job_id, .rank = rank, .attempt = attempt, .stream = v1::OUTPUT};
  ASSIGN_OR_RETURN(LogSlice slice, impl_->logs.Read(name, offset, bytes_max));
  v1::LogChunk chunk;
  chunk.set_offset(slice.offset);
  chunk.set_attempt(attempt);
  chunk.set_data(std::move(slice.data));
  return chunk;
}

int64_t Controller::WaitForChange(int64_t seen, absl::Duration timeout) const {
  return impl_->state.WaitForChange(seen, timeout);
}

absl::StatusOr<Identity> Controller::JobIdentity(const std::string& id) const {
  ASSIGN_OR_RETURN(const v1::Job job, GetJob(id));
  if (IsFinished(job.state()))
    return absl::NotFoundError(absl::StrCat("job ", id, " has finished"));
  Identity identity;
  identity.principal.set_kind(common::v1::Principal::JOB);
  identity.principal.set_name(id);
  identity.principal.set_business_unit(std::string(BusinessUnitOf(job.spec().project())));
  identity.principal.set_on_behalf_of(job.owner().name());
  auth::v1::RoleBinding binding;
  binding.set_role(auth::v1::ENGINEER);
  binding.set_business_unit(identity.principal.business_unit());
  identity.bindings.push_back(binding);
  return identity;
}

}  // namespace oneai::fabric
