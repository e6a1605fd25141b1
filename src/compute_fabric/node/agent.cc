// File: compute_fabric/node/agent.cc
#include "compute_fabric/node/agent.h"

#include <algorithm>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/grpc/channel.h"
#include "base/ids.h"
#include "base/log/log.h"
#include "compute_fabric/node/convert.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr absl::Duration kHeartbeatGap =
    absl::Milliseconds(50);  // a confused controller cannot make us spin
constexpr absl::Duration kRetryMax = absl::Seconds(3);
constexpr absl::Duration kSupersededCheckGap = absl::Seconds(1);
constexpr absl::Duration kCallSlack = absl::Seconds(10);

}  // namespace

struct Agent::Call {
  grpc::ClientContext context;
  v1::HeartbeatRequest request;
  v1::HeartbeatResponse response;
  grpc::Status status;
  absl::Notification done;
};

Agent::Agent(v1::NodeInfo info, std::shared_ptr<grpc::Channel> channel, TaskTable* tasks,
             EpochFence* epoch, AgentLease* lease, LogShipper* logs)
    : info_(std::move(info)),
      channel_(std::move(channel)),
      stub_(v1::NodeService::NewStub(channel_)),
      tasks_(tasks),
      epoch_(epoch),
      lease_(lease),
      logs_(logs),
      incarnation_(NewId("agent-")) {}

Agent::~Agent() {
  if (call_ == nullptr) return;
  call_->context.TryCancel();
  call_->done.WaitForNotification();
}

void Agent::PollTasks() {
  changed_ |= tasks_->Poll(absl::Now());
  for (const TaskStatus& task : tasks_->Statuses()) {
    logs_->Follow(task.key, tasks_->FolderOf(task.key));
    if (task.phase == TaskPhase::kExited) logs_->MarkEnded(task.key);
  }
}

void Agent::StartHeartbeat(absl::Time now) {
  call_ = std::make_unique<Call>();
  Call& call = *call_;
  *call.request.mutable_node() = info_;
  call.request.set_incarnation(incarnation_);
  for (const TaskStatus& task : tasks_->Statuses()) {
    *call.request.add_tasks() = ToTaskReport(task);
  }
  call.request.set_seen_revision(seen_revision_);
  call.request.set_max_wait_ms(absl::ToInt64Milliseconds(max_wait_));
  PrepareContext(call.context, max_wait_ + kCallSlack);
  changed_ = false;
  next_heartbeat_ = now + kHeartbeatGap;
  stub_->async()->Heartbeat(&call.context, &call.request, &call.response, [&call](grpc::Status s) {
    call.status = std::move(s);
    call.done.Notify();
  });
}

void Agent::HandleFailure(const grpc::Status& status, absl::Time now) {
  if (status.error_code() == grpc::StatusCode::CANCELLED)
    return;  // Cut short by us: report again at once.
  if (retry_ == absl::ZeroDuration()) {
    Log::Warning("heartbeat failed; retrying", {{"code", static_cast<int>(status.error_code())},
                                                {"error", status.error_message()}});
  }
  retry_ = std::clamp(retry_ * 2, absl::Milliseconds(200), kRetryMax);
  next_heartbeat_ = now + retry_ * absl::Uniform(random_, 0.5, 1.0);
  changed_ = true;
  // gRPC's own backoff would grow to minutes; ours is bounded and knows better.
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
}

void Agent::FinishHeartbeat(absl::Time now) {
  const std::unique_ptr<Call> call = std::move(call_);
  if (!call->status.ok()) return HandleFailure(call->status, now);
  if (retry_ > absl::ZeroDuration() || !has_desired_) Log::Info("connected to the controller");
  retry_ = absl::ZeroDuration();
  if (const absl::Status admitted = epoch_->Admit(call->response.epoch()); !admitted.ok()) {
    Log::Warning("heartbeat answer refused", {{"error", admitted}});
    next_heartbeat_ = now + absl::Seconds(1);
    return;
  }
  seen_revision_ = call->response.desired_revision();
  last_heard_ = now;
  if (call->response.lease_ms() > 0) {
    lease_length_ = absl::Milliseconds(call->response.lease_ms());
    max_wait_ = absl::Milliseconds(std::clamp<int64_t>(call->response.lease_ms() / 3, 100, 3'000));
  }
  desired_ = ToDesiredTasks(call->response);
  has_desired_ = true;
  assignments_.clear();
  for (v1::TaskAssignment& task : *call->response.mutable_desired()) {
    const TaskKey key = {task.job_id(), task.rank(), task.attempt()};
    assignments_[key] = std::move(task);
  }
  Apply(now);
}

void Agent::Apply(absl::Time now) {
  std::vector<KnownTask> known = tasks_->Known();
  for (KnownTask& task : known) {
    task.logs_shipped = task.phase == TaskPhase::kExited && logs_->IsComplete(task.key);
  }
  const ReconcilePlan plan = Reconcile(desired_, known);
  for (const TaskKey& key : plan.stop) tasks_->Stop(key, now);
  for (const TaskKey& key : plan.start) {
    tasks_->Start(ToTaskOrder(assignments_[key]), now);
    logs_->Follow(key, tasks_->FolderOf(key));
    lease_->Touch(absl::Now());
  }
  for (const TaskKey& key : plan.forget) {
    tasks_->Forget(key, now);
    logs_->Drop(key);
  }
  changed_ |= plan != ReconcilePlan{};
}

void Agent::Run(const std::atomic<bool>& stop, ExitPolicy exit_policy) {
  while (!stop) {
    const absl::Time now = absl::Now();
    lease_->Touch(now);
    PollTasks();
    if (call_ != nullptr && call_->done.HasBeenNotified()) FinishHeartbeat(now);
    // Also without an answer: an attempt that waited for its predecessor's end starts now.
    if (has_desired_) Apply(now);
    if (now - last_heard_ > lease_length_) StopSuperseded(now);
    if (call_ == nullptr && now >= next_heartbeat_) StartHeartbeat(now);
    if (call_ != nullptr && changed_) call_->context.TryCancel();
    if (call_ != nullptr) {
      call_->done.WaitForNotificationWithTimeout(kTick);
    } else {
      absl::SleepFor(std::clamp(next_heartbeat_ - absl::Now(), absl::Milliseconds(1), kTick));
    }
  }
  if (exit_policy == ExitPolicy::kStopTasks) StopAllTasks();
}

void Agent::StopSuperseded(absl::Time now) {
  if (now < next_superseded_check_) return;
  next_superseded_check_ = now + kSupersededCheckGap;
  for (const TaskKey& key : tasks_->Superseded()) {
    Log::Warning("cut off from the controller, and a newer attempt is placed elsewhere",
                 {{"task", key.FolderName()}});
    tasks_->Stop(key, now);
  }
}

void Agent::StopAllTasks() {
  if (call_ != nullptr) {
    call_->context.TryCancel();
    call_->done.WaitForNotification();
    call_.reset();
  }
  std::vector<TaskKey> stopped;
  for (const TaskStatus& task : tasks_->Statuses()) {
    if (task.phase != TaskPhase::kExited) stopped.push_back(task.key);
    tasks_->Stop(task.key, absl::Now());
  }
  while (tasks_->HasLive()) {
    lease_->Touch(absl::Now());
    PollTasks();
    absl::SleepFor(absl::Milliseconds(20));
  }
  PollTasks();
  logs_->Flush(absl::Seconds(2));
  // How they ended was our doing, so it is not reported: the controller finds them missing and
  // treats them as lost with the node, which costs the job no restart and does not pass for
  // success.
  for (const TaskKey& key : stopped) tasks_->Forget(key, absl::Now());
  // The last word to the controller, which may be gone already.
  max_wait_ = absl::ZeroDuration();
  StartHeartbeat(absl::Now());
  if (!call_->done.WaitForNotificationWithTimeout(absl::Seconds(2))) call_->context.TryCancel();
  call_->done.WaitForNotification();
  call_.reset();
}

}  // namespace oneai::fabric
