#include "compute_fabric/simulation/sim_agent.h"

#include <algorithm>
#include <utility>

namespace oneai::fabric::simulation {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);  // as the real agent's
// The real agent looks ten times a second; where nothing changes it would see nothing.
constexpr absl::Duration kIdleTick = absl::Seconds(1);
constexpr absl::Duration kCallSlack = absl::Seconds(10);

}  // namespace

SimAgent::SimAgent(Simulator* simulator, Machine* machine, std::string incarnation, Wire wire)
    : simulator_(simulator),
      machine_(machine),
      wire_(std::move(wire)),
      tasks_(simulator, machine),
      epoch_(machine),
      session_(machine->info, std::move(incarnation), &tasks_, &epoch_, &output_) {
  machine_->AgentLives();
  TickAfter(absl::ZeroDuration());
}

void SimAgent::Nudge() { TickAfter(simulator_->random().Between(absl::ZeroDuration(), kTick)); }

void SimAgent::TickAfter(absl::Duration delay) {
  if (simulator_->Now() + delay >= tick_due_) return;
  tick_due_ = simulator_->Now() + delay;
  const uint64_t tick = ++next_tick_;
  simulator_->After(delay, [this, tick] {
    if (tick != next_tick_ || !alive()) return;
    tick_due_ = absl::InfiniteFuture();
    if (simulator_->IsPaused(*this)) {
      TickAfter(simulator_->paused_until(*this) - simulator_->Now());
    } else {
      Tick();
    }
  });
}

// One turn of Agent::Run.
void SimAgent::Tick() {
  const absl::Time now = machine_->clock.Now();
  session_.Poll(now);
  LookAtHealth();
  session_.Advance(now);
  if (call_ != 0 && session_.changed()) {
    wire_.cancel(call_);
    call_ = 0;
  }
  if (call_ == 0 && now >= session_.next_heartbeat()) Send(now);
  const absl::Duration due = session_.next_heartbeat() - now;
  TickAfter(call_ != 0 ? kIdleTick : std::clamp(due, absl::Milliseconds(1), kIdleTick));
}

void SimAgent::LookAtHealth() {
  if (machine_->health_version == health_version_) return;
  health_version_ = machine_->health_version;
  std::vector<v1::HealthCheck> checks;
  std::map<std::string, std::string> broken_devices;
  for (const std::string& device : machine_->broken) {
    v1::HealthCheck& check = checks.emplace_back();
    check.set_name(device.empty() ? "probe" : "device:" + device);
    check.set_message("broken (simulated)");
    if (!device.empty()) broken_devices[device] = check.message();
  }
  session_.SetHealth(std::move(checks), broken_devices);
}

void SimAgent::Send(absl::Time now) {
  v1::HeartbeatRequest request = session_.Report(now);
  const uint64_t call_id = ++last_call_;
  call_ = call_id;
  const absl::Duration deadline = absl::Milliseconds(request.max_wait_ms()) + kCallSlack;
  wire_.heartbeat(std::move(request), call_id,
                  [this, call_id](absl::StatusOr<v1::HeartbeatResponse> response) {
                    Answered(call_id, std::move(response));
                  });
  simulator_->After(
      deadline, [this, call_id] { Answered(call_id, absl::DeadlineExceededError("no answer")); });
}

void SimAgent::Answered(uint64_t call_id, absl::StatusOr<v1::HeartbeatResponse> response) {
  if (!alive() || call_ != call_id) return;
  if (simulator_->IsPaused(*this)) {
    simulator_->After(simulator_->paused_until(*this) - simulator_->Now(),
                      [this, call_id, response] { Answered(call_id, response); });
    return;
  }
  call_ = 0;
  const absl::Time now = machine_->clock.Now();
  if (!response.ok()) {
    session_.Failed(now, simulator_->random().Fraction());
    wire_.next_controller();
  } else {
    const int64_t epoch = response->epoch();
    session_.Answered(*std::move(response), now);
    if (epoch < machine_->epoch) wire_.next_controller();
  }
  TickAfter(absl::ZeroDuration());
}

}  // namespace oneai::fabric::simulation
