#include "compute_fabric/simulation/world.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/node/protocol_version.h"

namespace oneai::fabric::simulation {
namespace {

constexpr absl::Duration kRestartAfterExit = absl::Seconds(1);
constexpr absl::Duration kDeposedMax = absl::Seconds(10);

v1::NodeInfo DrawNode(int index, Random& random) {
  v1::NodeInfo info;
  info.set_name(absl::StrCat("node-", index));
  info.set_protocol_version(kProtocolVersion);
  info.set_address(absl::StrCat("10.0.0.", index + 1));
  info.set_cpu_milli(random.Between(4, 16) * 1000);
  info.set_memory_bytes(random.Between(16, 128) << 30);
  info.set_port_first(20000);
  info.set_port_last(20099);
  (*info.mutable_labels())["rack"] = absl::StrCat("rack-", index % 2);
  const char* kind = random.Chance(0.5) ? "gpu-a" : "asic-b";
  const int64_t num_devices = random.Between(0, 4);
  for (int i = 0; i < num_devices; ++i) {
    v1::Device* device = info.add_devices();
    device->set_id(absl::StrCat("dev-", i));
    device->set_kind(kind);
    device->set_memory_bytes(int64_t{80} << 30);
    device->set_healthy(true);
  }
  return info;
}

}  // namespace

World::World(Simulator* simulator, const Scenario& scenario)
    : simulator_(simulator),
      scenario_(scenario),
      truth_(simulator),
      network_(simulator),
      server_(simulator),
      controller_clock_(simulator) {
  server_.set_observer([this](int64_t revision, const std::vector<WatchEvent>& events) {
    truth_.Committed(revision, events);
  });
  Heal();
  // No such folder: nothing is logged, so nothing is read.
  options_.log_dir = "/nonexistent/oneai-dst/logs";
  options_.artifact_dir = "/artifacts";
  options_.registry_dir = "/registry";
  options_.folders = &storage_;
  options_.commits_at_once = 1;  // everything here happens on one thread
  options_.tick = simulator_->random().Chance(0.3) ? absl::Milliseconds(100) : absl::Seconds(1);
  AddMachines();
  StartController();
  for (auto& [name, site] : sites_) StartAgent(site);
}

World::~World() { End(); }

void World::End() {
  for (const auto& controller : controllers_) {
    if (controller->alive()) simulator_->Kill(controller.get());
  }
}

std::vector<std::string> World::ReasonsOf(const std::string& job_id) {
  SimController* const controller = Newest();
  return controller == nullptr ? std::vector<std::string>() : controller->ReasonsOf(job_id);
}

void World::AddMachines() {
  Random& random = simulator_->random();
  const int64_t num_nodes = random.Between(2, 8);
  for (int i = 0; i < num_nodes; ++i) {
    machines_.push_back(
        std::make_unique<Machine>(simulator_, &truth_, &storage_, DrawNode(i, random)));
    sites_[machines_.back()->name()].machine = machines_.back().get();
  }
}

void World::StartController() {
  const std::string name = absl::StrCat("controller-", controllers_.size() + 1);
  // Called from one of its own fibers, so it is taken down a moment later.
  const size_t index = controllers_.size();
  controllers_.push_back(std::make_unique<SimController>(
      simulator_, name, &server_, &store_link_, &controller_clock_, &options_, &hooks_,
      [this, index](const absl::Status& why) {
        SimController* const self = controllers_[index].get();
        simulator_->trace().Add(self->name(), "exits: ", why.ToString());
        simulator_->After(absl::ZeroDuration(),
                          [this, self] { RetireController(self, kRestartAfterExit); });
      }));
  simulator_->trace().Add(name, "starts");
}

// Its supervisor starts another one, unless one is there by then.
void World::RetireController(SimController* controller, absl::Duration restart_after) {
  if (!controller->alive()) return;
  controller->HangUp();
  simulator_->Kill(controller);
  simulator_->After(restart_after, [this] {
    if (Newest() == nullptr) StartController();
  });
}

SimController* World::Newest() {
  for (auto it = controllers_.rbegin(); it != controllers_.rend(); ++it) {
    if ((*it)->alive() && !deposed_.contains(it->get())) return it->get();
  }
  return nullptr;
}

SimController* World::ControllerFor(const Site& site) {
  std::vector<SimController*> living;
  for (auto it = controllers_.rbegin(); it != controllers_.rend() && living.size() < 3; ++it) {
    if ((*it)->alive()) living.push_back(it->get());
  }
  return living.empty() ? nullptr : living[site.controller % living.size()];
}

void World::KillController(absl::Duration down_for) {
  SimController* const controller = Newest();
  if (controller == nullptr) return;
  simulator_->trace().Add("world", "kills ", controller->name(), " for ",
                          absl::FormatDuration(down_for));
  RetireController(controller, down_for);
}

void World::PauseController(absl::Duration how_long) {
  SimController* const controller = Newest();
  if (controller == nullptr) return;
  simulator_->trace().Add("world", "suspends ", controller->name(), " for ",
                          absl::FormatDuration(how_long));
  simulator_->Pause(controller, how_long);
}

void World::TakeOver() {
  SimController* const before = Newest();
  if (before == nullptr) return;
  simulator_->trace().Add("world", "lets another controller take over from ", before->name());
  simulator_->Pause(before, simulator_->random().Between(absl::ZeroDuration(), absl::Seconds(60)));
  deposed_.insert(before);
  StartController();
  // A leader is replaced when its lease is over, and it knows when that is; but clocks run apart,
  // and what was under way when it was suspended goes on when it wakes.
  const absl::Duration rest =
      std::max(simulator_->paused_until(*before) - simulator_->Now(), absl::ZeroDuration()) +
      simulator_->random().Between(absl::ZeroDuration(), kDeposedMax);
  simulator_->After(rest, [this, before] { RetireController(before, kRestartAfterExit); });
}

SimAgent::Wire World::WireOf(Site& site) {
  const uint64_t life = site.life << 32;
  Site* const at = &site;
  return {
      .heartbeat =
          [this, at, life](v1::HeartbeatRequest request, uint64_t call, SimAgent::Reply reply) {
            SimController* const controller = ControllerFor(*at);
            if (controller == nullptr) {
              simulator_->After(absl::Milliseconds(1),
                                [reply] { reply(absl::UnavailableError("connection refused")); });
              return;
            }
            const std::string node = at->machine->name();
            network_.Send(node, controller->name(), [=, this] {
              controller->Heartbeat(
                  request, life | call, [=, this](absl::StatusOr<v1::HeartbeatResponse> response) {
                    network_.Send(controller->name(), node, [reply, response] { reply(response); });
                  });
            });
          },
      .cancel =
          [this, at, life](uint64_t call) {
            const std::string node = at->machine->name();
            for (const auto& controller : controllers_) {
              if (!controller->alive()) continue;
              network_.Send(node, controller->name(),
                            [=, to = controller.get()] { to->Cancel(node, life | call); });
            }
          },
      .next_controller = [at] { ++at->controller; },
  };
}

void World::StartAgent(Site& site) {
  ++site.life;
  site.controller = 0;
  const std::string incarnation = absl::StrCat("agent-", ++num_lives_);
  simulator_->trace().Add(site.machine->name(), "agent starts as ", incarnation);
  site.agent = std::make_unique<SimAgent>(simulator_, site.machine, incarnation, WireOf(site));
  site.machine->set_on_change([&site] {
    if (site.agent != nullptr) site.agent->Nudge();
  });
}

void World::StopAgent(Site& site) {
  simulator_->Kill(site.agent.get());
  dead_agents_.push_back(std::move(site.agent));
}

void World::KillAgent(const std::string& node, absl::Duration down_for) {
  Site& site = sites_.at(node);
  if (site.agent == nullptr) return;
  simulator_->trace().Add("world", "kills the agent of ", node, " for ",
                          absl::FormatDuration(down_for));
  site.agent->HangUp();
  StopAgent(site);
  site.machine->AgentIsGone();
  simulator_->After(down_for, [this, &site] {
    if (site.agent == nullptr && site.machine->has_power()) StartAgent(site);
  });
}

void World::PauseAgent(const std::string& node, absl::Duration how_long) {
  Site& site = sites_.at(node);
  if (site.agent == nullptr) return;
  simulator_->trace().Add("world", "suspends the agent of ", node, " for ",
                          absl::FormatDuration(how_long));
  if (!simulator_->IsPaused(*site.agent)) site.machine->AgentIsGone();
  simulator_->Pause(site.agent.get(), how_long);
  simulator_->After(how_long, [this, &site, life = site.life] {
    // Not while it sleeps for another reason.
    if (site.agent != nullptr && site.life == life && !simulator_->IsPaused(*site.agent))
      site.machine->AgentLives();
  });
}

void World::CutPower(const std::string& node, absl::Duration down_for) {
  Site& site = sites_.at(node);
  if (!site.machine->has_power()) return;
  simulator_->trace().Add("world", "cuts the power of ", node, " for ",
                          absl::FormatDuration(down_for));
  if (site.agent != nullptr) StopAgent(site);
  site.machine->PowerCut();
  simulator_->After(down_for, [this, &site] {
    site.machine->PowerOn();
    if (site.agent == nullptr) StartAgent(site);
  });
}

void World::Isolate(const std::string& node, bool in, bool out) {
  simulator_->trace().Add("world", "cuts ", node, " off", in ? ", inwards" : "",
                          out ? ", outwards" : "");
  // Controllers to come are cut off too: their names are known.
  for (size_t i = 1; i <= controllers_.size() + 16; ++i) {
    const std::string controller = absl::StrCat("controller-", i);
    if (in) network_.Cut(controller, node);
    if (out) network_.Cut(node, controller);
  }
}

void World::Reconnect(const std::string& node) {
  simulator_->trace().Add("world", "reconnects ", node);
  for (size_t i = 1; i <= controllers_.size() + 64; ++i) {
    const std::string controller = absl::StrCat("controller-", i);
    network_.Heal(controller, node);
    network_.Heal(node, controller);
  }
}

void World::KillShim(const std::string& node) {
  Machine& machine = *sites_.at(node).machine;
  std::vector<TaskKey> live = machine.LiveTasks();
  if (!live.empty()) machine.KillShim(simulator_->random().Pick(live));
}

void World::Heal() {
  network_.HealAll();
  network_.set_quality({});
  storage_.set_full(false);
  store_link_ = {};
  store_link_.embedded = scenario_.embedded;
  if (!scenario_.embedded) store_link_.read_delay = absl::Milliseconds(1);
  // Whoever keeps the time sets the clocks right again, which is one more jump.
  controller_clock_.Jump(-controller_clock_.offset());
  for (const auto& machine : machines_) {
    machine->disk_full = false;
    for (const std::string& device : std::set<std::string>(machine->broken))
      machine->SetBroken(device, false);
    machine->clock.Jump(-machine->clock.offset());
  }
}

bool World::ControlPlaneIsWell() const {
  const bool serves =
      std::any_of(controllers_.begin(), controllers_.end(), [&](const auto& controller) {
        return controller->serving() && !simulator_->IsPaused(*controller);
      });
  return serves && !store_link_.cut && !store_link_.disk_full && store_link_.loss == 0 &&
         store_link_.delay < absl::Milliseconds(10);
}

bool World::IsWorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) ||
         absl::IsDeadlineExceeded(status) ||
         (absl::IsResourceExhausted(status) && absl::StrContains(status.message(), "disk")) ||
         absl::StrContains(status.message(), "another controller");
}

}  // namespace oneai::fabric::simulation
