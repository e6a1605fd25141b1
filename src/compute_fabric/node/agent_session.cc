#include "compute_fabric/node/agent_session.h"

#include <algorithm>

#include "base/log/log.h"
#include "compute_fabric/node/convert.h"
#include "compute_fabric/node/protocol_version.h"

namespace oneai::fabric {
namespace {

// A confused controller cannot make us spin.
constexpr absl::Duration kHeartbeatGap = absl::Milliseconds(50);
// A controller that is back should hear from everybody at once: the fabric recovers no sooner. One
// small call a second is nothing even for it and ten thousand nodes.
constexpr absl::Duration kRetryMax = absl::Seconds(1);
constexpr absl::Duration kSupersededCheckGap = absl::Seconds(1);

}  // namespace

// Everything here is a span of time; the clock that measures it may be set back.
void AgentSession::NoticeClock(absl::Time now) {
  if (now < latest_) {
    const absl::Duration back = latest_ - now;
    next_heartbeat_ -= back;
    last_heard_ -= back;
    next_superseded_check_ -= back;
    asked_ -= back;
    desired_asked_ -= back;
  }
  latest_ = now;
}

bool AgentSession::IsStale(absl::Time asked, absl::Time now) const {
  return now - asked > 2 * lease_length_;
}

void AgentSession::Poll(absl::Time now) {
  NoticeClock(now);
  changed_ |= tasks_->Poll(now);
  for (const TaskStatus& task : tasks_->Statuses()) {
    output_->Follow(task.key);
    if (task.phase == TaskPhase::kExited) output_->MarkEnded(task.key);
  }
}

v1::HeartbeatRequest AgentSession::Report(absl::Time now) {
  v1::HeartbeatRequest request;
  *request.mutable_node() = info_;
  request.mutable_node()->set_protocol_version(kProtocolVersion);
  request.set_incarnation(incarnation_);
  for (const TaskStatus& task : tasks_->Statuses()) *request.add_tasks() = ToTaskReport(task);
  request.set_seen_revision(seen_revision_);
  request.set_max_wait_ms(absl::ToInt64Milliseconds(max_wait_));
  request.set_unix_ms(absl::ToUnixMillis(now));
  request.set_epoch(epoch_->epoch());
  for (const v1::HealthCheck& check : checks_) *request.add_checks() = check;
  changed_ = false;
  asked_ = now;
  next_heartbeat_ = now + kHeartbeatGap;
  return request;
}

void AgentSession::SetHealth(std::vector<v1::HealthCheck> checks,
                             const std::map<std::string, std::string>& broken_devices) {
  for (v1::Device& device : *info_.mutable_devices()) {
    const auto broken = broken_devices.find(device.id());
    device.set_healthy(broken == broken_devices.end());
    device.set_health_message(broken == broken_devices.end() ? "" : broken->second);
  }
  checks_ = std::move(checks);
  changed_ = true;
}

v1::HeartbeatRequest AgentSession::Farewell(absl::Time now) {
  v1::HeartbeatRequest request = Report(now);
  request.set_max_wait_ms(0);
  return request;
}

bool AgentSession::Failed(absl::Time now, double jitter) {
  NoticeClock(now);
  const bool first = retry_ == absl::ZeroDuration();
  retry_ = std::clamp(retry_ * 2, absl::Milliseconds(200), kRetryMax);
  next_heartbeat_ = now + retry_ * (0.5 + jitter / 2);
  changed_ = true;
  return first;
}

void AgentSession::Answered(v1::HeartbeatResponse response, absl::Time now) {
  NoticeClock(now);
  if (retry_ > absl::ZeroDuration() || !has_desired_) Log::Info("connected to the controller");
  retry_ = absl::ZeroDuration();
  if (IsStale(asked_, now)) {
    Log::Warning("heartbeat answer ignored: it is older than the node's lease");
    changed_ = true;
    return;
  }
  if (const absl::Status admitted = epoch_->Admit(response.epoch()); !admitted.ok()) {
    Log::Warning("heartbeat answer refused", {{"error", admitted}});
    next_heartbeat_ = now + absl::Seconds(1);
    return;
  }
  seen_revision_ = response.desired_revision();
  last_heard_ = now;
  if (response.lease_ms() > 0) {
    lease_length_ = absl::Milliseconds(response.lease_ms());
    max_wait_ = absl::Milliseconds(std::clamp<int64_t>(response.lease_ms() / 3, 100, 3'000));
  }
  desired_ = ToDesiredTasks(response);
  desired_asked_ = asked_;
  has_desired_ = true;
  assignments_.clear();
  for (v1::TaskAssignment& task : *response.mutable_desired()) {
    const TaskKey key = {task.job_id(), task.rank(), task.attempt()};
    assignments_[key] = std::move(task);
  }
  Apply(now);
}

void AgentSession::Advance(absl::Time now) {
  if (has_desired_) Apply(now);
  if (now - last_heard_ > lease_length_) StopSuperseded(now);
}

void AgentSession::Apply(absl::Time now) {
  std::vector<KnownTask> known = tasks_->Known();
  for (KnownTask& task : known) {
    task.logs_shipped = task.phase == TaskPhase::kExited && output_->IsComplete(task.key);
  }
  ReconcilePlan plan = Reconcile(desired_, known);
  if (IsStale(desired_asked_, now)) plan.start.clear();  // they may have been given up since
  for (const TaskKey& key : plan.stop) tasks_->Stop(key, now);
  for (const TaskKey& key : plan.start) {
    tasks_->Start(ToTaskOrder(assignments_[key]), now);
    output_->Follow(key);
  }
  for (const auto& [key, assignment] : assignments_) {
    if (assignment.warned()) tasks_->Warn(key, assignment.warning_signal());
  }
  for (const TaskKey& key : plan.forget) {
    tasks_->Forget(key, now);
    output_->Drop(key);
  }
  changed_ |= plan != ReconcilePlan{};
}

void AgentSession::StopSuperseded(absl::Time now) {
  if (now < next_superseded_check_) return;
  next_superseded_check_ = now + kSupersededCheckGap;
  for (const TaskKey& key : tasks_->Superseded()) {
    Log::Warning("cut off from the controller, and a newer attempt is placed elsewhere",
                 {{"task", key.FolderName()}});
    tasks_->Stop(key, now);
  }
}

}  // namespace oneai::fabric
