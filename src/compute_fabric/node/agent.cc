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
constexpr absl::Duration kCallSlack = absl::Seconds(10);

v1::HealthCheck ToHealthCheck(const CheckResult& check) {
  v1::HealthCheck wire;
  wire.set_name(check.name);
  wire.set_healthy(check.healthy);
  wire.set_message(check.message);
  wire.set_since_unix_ms(absl::ToUnixMillis(check.since));
  return wire;
}

}  // namespace

struct Agent::Call {
  grpc::ClientContext context;
  v1::HeartbeatRequest request;
  v1::HeartbeatResponse response;
  grpc::Status status;
  absl::Notification done;
};

// The log shipper as the session sees it.
class Agent::ShippedOutput final : public TaskOutput {
 public:
  ShippedOutput(LogShipper* logs, const TaskTable* tasks, AgentLease* lease)
      : logs_(logs), tasks_(tasks), lease_(lease) {}
  void Follow(const TaskKey& key) override {
    logs_->Follow(key, tasks_->FolderOf(key));
    // Comes after every start, and many starts in a row take long.
    lease_->Touch(absl::Now());
  }
  void MarkEnded(const TaskKey& key) override { logs_->MarkEnded(key); }
  bool IsComplete(const TaskKey& key) const override { return logs_->IsComplete(key); }
  void Drop(const TaskKey& key) override { logs_->Drop(key); }

 private:
  LogShipper* const logs_;
  const TaskTable* const tasks_;
  AgentLease* const lease_;
};

Agent::Agent(v1::NodeInfo info, std::shared_ptr<grpc::Channel> channel, TaskTable* tasks,
             EpochFence* epoch, AgentLease* lease, LogShipper* logs, HealthMonitor* health)
    : channel_(std::move(channel)),
      stub_(v1::NodeService::NewStub(channel_)),
      tasks_(tasks),
      lease_(lease),
      logs_(logs),
      health_(health),
      output_(std::make_unique<ShippedOutput>(logs, tasks, lease)),
      session_(std::move(info), NewId("agent-"), tasks, epoch, output_.get()) {}

Agent::~Agent() {
  if (call_ == nullptr) return;
  call_->context.TryCancel();
  call_->done.WaitForNotification();
}

void Agent::Send(v1::HeartbeatRequest request) {
  call_ = std::make_unique<Call>();
  Call& call = *call_;
  call.request = std::move(request);
  PrepareContext(call.context, absl::Milliseconds(call.request.max_wait_ms()) + kCallSlack);
  stub_->async()->Heartbeat(&call.context, &call.request, &call.response, [&call](grpc::Status s) {
    call.status = std::move(s);
    call.done.Notify();
  });
}

void Agent::HandleFailure(const grpc::Status& status, absl::Time now) {
  if (status.error_code() == grpc::StatusCode::CANCELLED)
    return;  // Cut short by us: report again at once.
  if (session_.Failed(now, absl::Uniform(random_, 0.0, 1.0))) {
    Log::Warning("heartbeat failed; retrying", {{"code", static_cast<int>(status.error_code())},
                                                {"error", status.error_message()}});
  }
  // gRPC's own backoff would grow to minutes; ours is bounded and knows better.
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
}

void Agent::FinishHeartbeat(absl::Time now) {
  const std::unique_ptr<Call> call = std::move(call_);
  if (!call->status.ok()) return HandleFailure(call->status, now);
  session_.Answered(std::move(call->response), now);
}

void Agent::Run(const std::atomic<bool>& stop, ExitPolicy exit_policy) {
  while (!stop) {
    const absl::Time now = absl::Now();
    lease_->Touch(now);
    session_.Poll(now);
    if (const std::optional<NodeHealth> health = health_->TakeIfChanged()) {
      std::vector<v1::HealthCheck> checks;
      for (const CheckResult& check : health->checks) checks.push_back(ToHealthCheck(check));
      session_.SetHealth(std::move(checks), health->broken_devices);
    }
    if (call_ != nullptr && call_->done.HasBeenNotified()) FinishHeartbeat(now);
    session_.Advance(now);
    if (call_ == nullptr && now >= session_.next_heartbeat()) Send(session_.Report(now));
    if (call_ != nullptr && session_.changed()) call_->context.TryCancel();
    if (call_ != nullptr) {
      call_->done.WaitForNotificationWithTimeout(kTick);
    } else {
      absl::SleepFor(
          std::clamp(session_.next_heartbeat() - absl::Now(), absl::Milliseconds(1), kTick));
    }
  }
  if (exit_policy == ExitPolicy::kStopTasks) StopAllTasks();
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
    session_.Poll(absl::Now());
    absl::SleepFor(absl::Milliseconds(20));
  }
  session_.Poll(absl::Now());
  logs_->Flush(absl::Seconds(2));
  // How they ended was our doing, so it is not reported: the controller finds them missing and
  // treats them as lost with the node, which costs the job no restart and does not pass for
  // success.
  for (const TaskKey& key : stopped) tasks_->Forget(key, absl::Now());
  // The last word to the controller, which may be gone already.
  Send(session_.Farewell(absl::Now()));
  if (!call_->done.WaitForNotificationWithTimeout(absl::Seconds(2))) call_->context.TryCancel();
  call_->done.WaitForNotification();
  call_.reset();
}

}  // namespace oneai::fabric
