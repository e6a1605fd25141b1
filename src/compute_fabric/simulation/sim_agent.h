// File: compute_fabric/simulation/sim_agent.h
//
// An agent process: the real AgentSession between a simulated machine and the network. What
// agent.cc does with a thread, a channel and a tick is done here with events.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "compute_fabric/node/agent_session.h"
#include "compute_fabric/simulation/machine.h"
#include "compute_fabric/simulation/sim_tasks.h"

namespace oneai::fabric::simulation {

class SimAgent final : public Process {
 public:
  using Reply = std::function<void(absl::StatusOr<v1::HeartbeatResponse>)>;
  // How an agent reaches a controller; messages may get lost, so Reply may never be called.
  struct Wire {
    std::function<void(v1::HeartbeatRequest request, uint64_t call_id, Reply reply)> heartbeat;
    std::function<void(uint64_t call_id)> cancel;
    std::function<void()> next_controller;  // this one does not answer, or is replaced
  };

  // Adopts what it finds on the machine and begins to run.
  SimAgent(Simulator* simulator, Machine* machine, std::string incarnation, Wire wire);

  // Something on the machine changed.
  void Nudge();
  // Its connections break: the controller sees the caller go.
  void HangUp() {
    if (call_ != 0) wire_.cancel(call_);
  }
  SimTasks& tasks() { return tasks_; }

 private:
  void TickAfter(absl::Duration delay);
  void Tick();
  // What compute_fabric/node's HealthMonitor does.
  void LookAtHealth();
  void Send(absl::Time now);
  void Answered(uint64_t call_id, absl::StatusOr<v1::HeartbeatResponse> response);

  Simulator* const simulator_;
  Machine* const machine_;
  const Wire wire_;
  SimTasks tasks_;
  SimOutput output_;
  SimEpochGate epoch_;
  AgentSession session_;
  uint64_t call_ = 0;  // in flight; 0: none
  uint64_t last_call_ = 0;
  uint64_t next_tick_ = 0;
  uint64_t health_version_ = 0;
  absl::Time tick_due_ = absl::InfiniteFuture();
};

}  // namespace oneai::fabric::simulation
