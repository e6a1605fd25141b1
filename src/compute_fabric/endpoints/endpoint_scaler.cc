#include "compute_fabric/endpoints/endpoint_scaler.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/endpoints/replica_count.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kStepInterval = absl::Seconds(1);
constexpr int kLoadsMax = 10'000;
constexpr size_t kGatewaysMax = 1'000;
constexpr double kRequestsMax = 1e9;

bool IsCount(double value) { return value >= 0 && value <= kRequestsMax; }  // also not NaN

ReplicaCount CountOf(const v1::Job& job) {
  ReplicaCount count{.wanted = ReplicasWanted(job)};
  count.ready.resize(static_cast<size_t>(count.wanted), false);
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() < count.wanted && IsActive(task.state()))
      count.ready[static_cast<size_t>(task.rank())] = task.ready();
  }
  return count;
}

}  // namespace

absl::Status EndpointScaler::TakeLoads(const v1::ReportUsageRequest& report) {
  RETURN_IF_ERROR(ValidateName("gateway", report.gateway()));
  if (report.loads_size() > kLoadsMax)
    return absl::InvalidArgumentError(absl::StrCat("loads: at most ", kLoadsMax, " in a report"));
  Report taken{.when = state_->Now()};
  for (const v1::EndpointLoad& load : report.loads()) {
    RETURN_IF_ERROR(ValidateName("loads.endpoint", load.endpoint()));
    if (!IsCount(load.requests_in_flight()) || !IsCount(load.requests_queued())) {
      return absl::InvalidArgumentError(
          absl::StrCat("loads: requests of ", load.endpoint(), " must be 0 to 1e9"));
    }
    taken.loads[load.endpoint()] = {load.requests_in_flight(), load.requests_queued()};
  }
  absl::MutexLock lock(&mu_);
  if (reports_.size() >= kGatewaysMax && reports_.count(report.gateway()) == 0)
    return absl::ResourceExhaustedError(absl::StrCat("more than ", kGatewaysMax, " gateways"));
  reports_[report.gateway()] = std::move(taken);
  return absl::OkStatus();
}

std::optional<EndpointLoadSum> EndpointScaler::LoadOf(const std::string& endpoint) const {
  if (reports_.empty()) return std::nullopt;
  EndpointLoadSum sum;
  for (const auto& [gateway, report] : reports_) {
    const auto load = report.loads.find(endpoint);
    if (load == report.loads.end()) continue;
    sum.in_flight += load->second.in_flight;
    sum.queued += load->second.queued;
  }
  return sum;
}

void EndpointScaler::ForgetSilent(absl::Time now) {
  absl::MutexLock lock(&mu_);
  std::erase_if(reports_,
                [&](const auto& report) { return now - report.second.when > kReportLife; });
  std::erase_if(scaled_, [&](const auto& scaled) {
    const Record<v1::Endpoint> endpoint = state_->endpoints().Find(scaled.first);
    return endpoint.value == nullptr || !IsScaled(endpoint.value->spec());
  });
}

ScaleDecision EndpointScaler::Decide(const v1::Endpoint& endpoint, const v1::Job& job,
                                     absl::Time now) {
  absl::MutexLock lock(&mu_);
  Scaled& scaled = scaled_[endpoint.spec().name()];
  ScaleDecision decision =
      DecideReplicas(ScaleSpecOf(endpoint.spec()), LoadOf(endpoint.spec().name()), CountOf(job),
                     scaled.history, now);
  if (HasSurge(job) && decision.replicas < ReplicasWanted(job)) {
    // A replica of the highest rank may be the one that stands in for those being moved.
    decision.replicas = ReplicasWanted(job);
    decision.history = scaled.history;
    decision.reason = "a node is being drained; fewer once its replicas have moved";
  }
  scaled.history = decision.history;
  scaled.reason = decision.reason;
  return decision;
}

absl::Status EndpointScaler::Apply(const v1::Endpoint& endpoint, const ScaleDecision& decision,
                                   int wanted_before, absl::Time now) {
  const absl::StatusOr<JobRecord> scaled =
      state_->UpdateJob(endpoint.job_id(), [&](v1::Job& job, EventDrafts& events) {
        // Somebody else was faster: decided again in the next round.
        if (IsFinished(job.state()) || ReplicasWanted(job) != wanted_before) return false;
        if (!SetReplicasWanted(job, decision.replicas)) return false;
        Advance(job, now, events);
        events.push_back({"endpoint.scaled", endpoint.spec().name(),
                          absl::StrCat("from ", wanted_before, " to ", decision.replicas,
                                       " replicas: ", decision.reason),
                          "info"});
        return true;
      });
  return absl::IsNotFound(scaled.status()) ? absl::OkStatus() : scaled.status();
}

absl::Status EndpointScaler::Step(absl::Time now) {
  // A clock that was set back must not stop it.
  if (now >= last_step_ && now - last_step_ < kStepInterval) return absl::OkStatus();
  last_step_ = now;
  ForgetSilent(now);
  for (const Record<v1::Endpoint>& record : state_->endpoints().All()) {
    const v1::Endpoint& endpoint = *record.value;
    if (!IsScaled(endpoint.spec()) || endpoint.state() == v1::DELETING) continue;
    const JobRecord job = state_->jobs().Find(endpoint.job_id());
    if (job.value == nullptr || IsFinished(job.value->state())) continue;
    const int before = ReplicasWanted(*job.value);
    const ScaleDecision decision = Decide(endpoint, *job.value, now);
    if (decision.replicas != before) RETURN_IF_ERROR(Apply(endpoint, decision, before, now));
  }
  return absl::OkStatus();
}

std::string EndpointScaler::ReasonOf(const std::string& endpoint) const {
  absl::MutexLock lock(&mu_);
  const auto found = scaled_.find(endpoint);
  return found == scaled_.end() ? "" : found->second.reason;
}

}  // namespace oneai::fabric
