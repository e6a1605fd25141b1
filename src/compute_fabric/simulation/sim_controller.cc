#include "compute_fabric/simulation/sim_controller.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace oneai::fabric::simulation {
namespace {

// Between noticing a change and acting on it: a thread's wake-up.
constexpr absl::Duration kWakeUp = absl::Milliseconds(1);

}  // namespace

SimController::SimController(Simulator* simulator, std::string name, StoreServer* server,
                             const StoreLink* link, const SimClock* clock,
                             const ControllerOptions* options, const ControllerHooks* hooks,
                             std::function<void(const absl::Status&)> on_exit)
    : simulator_(simulator),
      name_(std::move(name)),
      options_(options),
      on_exit_(std::move(on_exit)),
      store_(simulator, server, link, this),
      core_(&store_, clock, options, hooks) {
  simulator_->Spawn(this, [this] {
    if (alive()) Load();
  });
}

void SimController::Load() {
  const absl::Status loaded = core_.state.Load();
  if (!alive()) return;
  if (!loaded.ok()) return on_exit_(loaded);
  core_.sessions.Start();
  serving_ = true;
  simulator_->trace().Add(name_, "serves with epoch ", core_.state.epoch());
  Step();
}

// One turn of ScheduleLoop::Run, with the same waits.
void SimController::Step() {
  stepping_ = true;
  wakes_ = false;
  const absl::Status status = core_.loop.Step();
  stepping_ = false;
  if (!alive()) return;
  if (absl::IsFailedPrecondition(status)) return on_exit_(status);
  step_failed_ = !status.ok();
  if (step_failed_) {
    simulator_->trace().Add(name_, "scheduling round failed: ", status.ToString());
    StepAfter(absl::Seconds(1));
  } else {
    NoticeChanges();
    StepAfter(wakes_ ? kWakeUp : options_->tick);
  }
}

void SimController::StepAfter(absl::Duration delay) {
  const uint64_t step = ++next_step_;
  simulator_->After(delay, [this, step] {
    if (step != next_step_ || !alive()) return;
    simulator_->Spawn(this, [this, step] {
      if (alive() && step == next_step_ && !stepping_) Step();
    });
  });
}

void SimController::NoticeChanges() {
  if (!serving_ || core_.state.version() == noticed_version_) return;
  noticed_version_ = core_.state.version();
  wakes_ = true;
  if (!stepping_ && !step_failed_) StepAfter(kWakeUp);
  for (Waiting& waiting : waiting_) {
    if (!waiting.answering && core_.sessions.HasNews(waiting.request)) Answer(waiting);
  }
}

void SimController::Answer(Waiting& waiting) {
  waiting.answering = true;
  const uint64_t call_id = waiting.call_id;
  const std::string node = waiting.request.node().name();
  simulator_->After(kWakeUp, [this, call_id, node] {
    simulator_->Spawn(this, [this, call_id, node] {
      const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) {
        return w.call_id == call_id && w.request.node().name() == node;
      });
      if (it == waiting_.end() || !alive()) return;
      const Waiting taken = std::move(*it);
      waiting_.erase(it);
      taken.reply(core_.sessions.Respond(taken.request));
    });
  });
}

void SimController::Heartbeat(v1::HeartbeatRequest request, uint64_t call_id,
                              HeartbeatReply reply) {
  if (!serving()) return reply(absl::UnavailableError("the controller is starting or stopping"));
  simulator_->Spawn(this, [this, request = std::move(request), call_id, reply] {
    if (!alive()) return;
    const absl::Status begun = core_.sessions.Begin(request);
    if (!alive()) return;
    if (!begun.ok()) return reply(begun);
    waiting_.push_back({request, call_id, reply});
    Waiting& waiting = waiting_.back();
    if (core_.sessions.HasNews(request)) return Answer(waiting);
    simulator_->Sleep(core_.sessions.WaitFor(request));
    if (!alive()) return;
    const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) {
      return w.call_id == call_id && w.request.node().name() == request.node().name();
    });
    if (it != waiting_.end() && !it->answering) Answer(*it);
  });
}

void SimController::Cancel(const std::string& node, uint64_t call_id) {
  if (!serving()) return;
  const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) {
    return w.call_id == call_id && w.request.node().name() == node;
  });
  if (it == waiting_.end()) return;
  core_.sessions.Abandon(it->request);
  waiting_.erase(it);
}

void SimController::HangUp() {
  for (Waiting& waiting : waiting_) waiting.reply(absl::UnavailableError("connection reset"));
}

std::vector<std::string> SimController::ReasonsOf(const std::string& job_id) const {
  Identity somebody;
  somebody.principal.set_kind(common::v1::Principal::USER);
  auth::v1::RoleBinding viewer;
  viewer.set_role(auth::v1::ADMIN);
  viewer.set_business_unit("*");
  somebody.bindings.push_back(viewer);
  const absl::StatusOr<v1::Explanation> why = core_.jobs.Explain(job_id, somebody);
  if (!why.ok()) return {};
  std::vector<std::string> reasons(why->reasons().begin(), why->reasons().end());
  if (reasons.size() == 1 && absl::StrContains(reasons[0], "next pass")) reasons.clear();
  return reasons;
}

void SimController::Serve(std::function<void(ControllerCore&)> request) {
  if (!serving()) return;
  simulator_->Spawn(this, [this, request = std::move(request)] {
    if (alive()) request(core_);
  });
}

}  // namespace oneai::fabric::simulation
