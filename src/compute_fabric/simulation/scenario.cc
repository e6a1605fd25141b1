#include "compute_fabric/simulation/scenario.h"

#include "absl/strings/str_cat.h"

namespace oneai::fabric::simulation {
namespace {

using absl::Minutes;
using absl::Seconds;

Scenario Crashes() {
  Scenario crashes{.name = "crashes", .what = "kill -9 of every kind of process, power cuts"};
  crashes.faults.kill_controller = Seconds(40);
  crashes.faults.pause_controller = Seconds(60);
  crashes.faults.kill_agent = Seconds(20);
  crashes.faults.pause_agent = Seconds(60);
  crashes.faults.kill_shim = Seconds(20);
  crashes.faults.power_cut = Seconds(60);
  return crashes;
}

Scenario NetworkFaults() {
  Scenario network{.name = "network", .what = "partitions, late, lost and repeated messages"};
  network.faults.partition = Seconds(20);
  network.faults.bad_network = Seconds(30);
  return network;
}

Scenario Disks() {
  Scenario disks{.name = "disks", .what = "slow, failing and full disks"};
  disks.faults.slow_store = Seconds(40);
  disks.faults.failing_store = Seconds(40);
  disks.faults.full_disk = Seconds(40);
  disks.faults.kill_controller = Minutes(2);
  return disks;
}

Scenario Clocks() {
  Scenario clocks{.name = "clocks", .what = "wall clocks jump, processes are suspended"};
  clocks.faults.clock_jump = Seconds(15);
  clocks.faults.pause_controller = Seconds(60);
  clocks.faults.pause_agent = Seconds(60);
  clocks.faults.partition = Seconds(60);
  return clocks;
}

Scenario Health() {
  Scenario health{.name = "health", .what = "devices and probes fail, nodes are lost"};
  health.faults.health = Seconds(15);
  health.faults.kill_agent = Seconds(60);
  health.faults.power_cut = Seconds(60);
  health.faults.kill_controller = Minutes(2);
  return health;
}

Scenario TakeOver() {
  Scenario over{.name = "takeover", .what = "controllers replace each other on a remote store"};
  over.embedded = false;
  over.faults.take_over = Seconds(30);
  over.faults.kill_controller = Seconds(60);
  over.faults.pause_controller = Seconds(30);
  over.faults.failing_store = Seconds(60);
  over.faults.slow_store = Seconds(90);
  over.faults.partition = Seconds(60);
  return over;
}

Scenario Everything() {
  Scenario all{.name = "everything", .what = "all of it at once"};
  all.embedded = false;
  all.faults = {.kill_controller = Minutes(2),
                .pause_controller = Minutes(2),
                .take_over = Minutes(2),
                .kill_agent = Minutes(1),
                .pause_agent = Minutes(2),
                .kill_shim = Minutes(1),
                .power_cut = Minutes(2),
                .partition = Minutes(1),
                .bad_network = Minutes(1),
                .slow_store = Minutes(2),
                .failing_store = Minutes(2),
                .full_disk = Minutes(2),
                .clock_jump = Minutes(1),
                .health = Minutes(1)};
  return all;
}

}  // namespace

const std::vector<Scenario>& Scenarios() {
  static const std::vector<Scenario> scenarios = {{.name = "calm", .what = "nothing goes wrong"},
                                                  Crashes(),
                                                  NetworkFaults(),
                                                  Disks(),
                                                  Clocks(),
                                                  Health(),
                                                  TakeOver(),
                                                  Everything()};
  return scenarios;
}

absl::StatusOr<Scenario> FindScenario(absl::string_view name) {
  std::string names;
  for (const Scenario& scenario : Scenarios()) {
    if (scenario.name == name) return scenario;
    absl::StrAppend(&names, names.empty() ? "" : ", ", scenario.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--scenario: there is no \"", name, "\"; one of: ", names));
}

const Scenario& ScenarioOf(uint64_t seed) {
  // Calm runs prove little; one in thirteen keeps them honest.
  const std::vector<Scenario>& all = Scenarios();
  return seed % 13 == 0 ? all.front() : all[1 + seed % (all.size() - 1)];
}

}  // namespace oneai::fabric::simulation
