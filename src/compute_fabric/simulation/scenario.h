// File: compute_fabric/simulation/scenario.h
//
// What a simulated world is made of and what goes wrong in it. A scenario names the faults; the
// seed decides the sizes, the moments and the victims.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace oneai::fabric::simulation {

// Mean time between two faults of a kind, in the whole world; infinite: never.
struct FaultRates {
  absl::Duration kill_controller = absl::InfiniteDuration();
  absl::Duration pause_controller = absl::InfiniteDuration();
  absl::Duration take_over = absl::InfiniteDuration();  // a second controller while one is alive
  absl::Duration kill_agent = absl::InfiniteDuration();
  absl::Duration pause_agent = absl::InfiniteDuration();
  absl::Duration kill_shim = absl::InfiniteDuration();
  absl::Duration power_cut = absl::InfiniteDuration();
  absl::Duration partition = absl::InfiniteDuration();
  absl::Duration bad_network = absl::InfiniteDuration();
  absl::Duration slow_store = absl::InfiniteDuration();
  absl::Duration failing_store = absl::InfiniteDuration();
  absl::Duration full_disk = absl::InfiniteDuration();
  absl::Duration clock_jump = absl::InfiniteDuration();
  absl::Duration health = absl::InfiniteDuration();  // devices and probes
};

struct Scenario {
  std::string name;
  std::string what;
  FaultRates faults;
  bool embedded = true;  // false: the store is reached over a network, whose answers get lost
};

const std::vector<Scenario>& Scenarios();
// InvalidArgument: names those there are.
absl::StatusOr<Scenario> FindScenario(absl::string_view name);
// The one that a seed draws when none is named.
const Scenario& ScenarioOf(uint64_t seed);

}  // namespace oneai::fabric::simulation
