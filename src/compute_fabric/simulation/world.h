// File: compute_fabric/simulation/world.h
//
// A whole fabric: machines with agents, controllers on one store, users, the network between them.
// Its methods are what can happen to it; fault_plan.h and workload.h decide when.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compute_fabric/simulation/ground_truth.h"
#include "compute_fabric/simulation/machine.h"
#include "compute_fabric/simulation/network.h"
#include "compute_fabric/simulation/scenario.h"
#include "compute_fabric/simulation/sim_agent.h"
#include "compute_fabric/simulation/sim_controller.h"
#include "compute_fabric/simulation/sim_store.h"

namespace oneai::fabric::simulation {

inline constexpr char kUsers[] = "users";  // the users' place in the network

// Thread-compatible.
class World {
 public:
  World(Simulator* simulator, const Scenario& scenario);
  ~World();

  Simulator& simulator() { return *simulator_; }
  GroundTruth& truth() { return truth_; }
  Network& network() { return network_; }
  StoreLink& store_link() { return store_link_; }
  SharedStorage& storage() { return storage_; }
  const std::vector<std::unique_ptr<Machine>>& machines() const { return machines_; }

  // Processes. Those killed are started again by their supervisor after `down_for`.
  void KillController(absl::Duration down_for);
  void PauseController(absl::Duration how_long);
  // A new controller starts although the present one lives; that one learns of it when it next
  // writes, or when its lease on leadership is over.
  void TakeOver();
  void JumpControllerClock(absl::Duration by) { controller_clock_.Jump(by); }
  void KillAgent(const std::string& node, absl::Duration down_for);
  void PauseAgent(const std::string& node, absl::Duration how_long);
  void CutPower(const std::string& node, absl::Duration down_for);
  void Isolate(const std::string& node, bool in, bool out);
  void Reconnect(const std::string& node);
  void KillShim(const std::string& node);
  // Ends every fault; what is down comes up by itself.
  void Heal();

  // Kills what lives, so that nothing calls back any more.
  void End();
  // Why the job waits, as the present controller says; empty: it knows no reason.
  std::vector<std::string> ReasonsOf(const std::string& job_id);

  // A controller serves, and what it writes gets through in time.
  bool ControlPlaneIsWell() const;

  // A user's call: sent to the present controller, again and again until an answer comes.
  template <typename Response>
  void Call(std::function<absl::StatusOr<Response>(ControllerCore&)> request,
            std::function<void(const absl::StatusOr<Response>&)> done);

 private:
  struct Site {
    Machine* machine;
    std::unique_ptr<SimAgent> agent;  // null: down
    uint64_t life = 0;
    size_t controller = 0;  // to which it talks, counted from the newest
  };

  void AddMachines();
  void StartController();
  void RetireController(SimController* controller, absl::Duration restart_after);
  SimController* Newest();
  SimController* ControllerFor(const Site& site);
  void StartAgent(Site& site);
  void StopAgent(Site& site);
  SimAgent::Wire WireOf(Site& site);
  static bool IsWorthRetrying(const absl::Status& status);

  Simulator* const simulator_;
  const Scenario scenario_;
  GroundTruth truth_;
  Network network_;
  StoreServer server_;
  StoreLink store_link_;
  SharedStorage storage_;
  SimClock controller_clock_;
  ControllerOptions options_;
  ControllerHooks hooks_;

  std::vector<std::unique_ptr<Machine>> machines_;
  std::map<std::string, Site> sites_;
  std::vector<std::unique_ptr<SimController>> controllers_;  // all that ever lived, oldest first
  std::vector<std::unique_ptr<SimAgent>> dead_agents_;       // events may still name them
  std::set<const SimController*> deposed_;                   // replaced while they slept
  uint64_t num_lives_ = 0;
};

template <typename Response>
void World::Call(std::function<absl::StatusOr<Response>(ControllerCore&)> request,
                 std::function<void(const absl::StatusOr<Response>&)> done) {
  struct State {
    bool answered = false;
    int tries = 0;
    std::function<void()> send;
  };
  auto state = std::make_shared<State>();
  const auto take = [this, state, done](const absl::StatusOr<Response>& response) {
    if (state->answered) return;
    if (!response.ok() && IsWorthRetrying(response.status())) return;  // the timer sends it again
    state->answered = true;
    done(response);
    // Breaks the cycle of the closure with itself, once it has returned.
    simulator_->After(absl::ZeroDuration(), [state] { state->send = nullptr; });
  };
  state->send = [this, state = state.get(), weak = std::weak_ptr<State>(state), request, take] {
    if (state->answered) return;
    if (SimController* const controller = Newest(); controller != nullptr) {
      network_.Send(kUsers, controller->name(), [this, controller, request, take] {
        controller->Serve([this, controller, request, take](ControllerCore& core) {
          const absl::StatusOr<Response> response = request(core);
          if (!controller->alive()) return;
          network_.Send(controller->name(), kUsers, [take, response] { take(response); });
        });
      });
    }
    const absl::Duration wait = absl::Milliseconds(500) * std::min(++state->tries, 10);
    simulator_->After(wait, [again = weak.lock()] {
      if (again->send) again->send();
    });
  };
  state->send();
}

}  // namespace oneai::fabric::simulation
