#include "compute_fabric/simulation/fault_plan.h"

#include <functional>
#include <string>

namespace oneai::fabric::simulation {
namespace {

using absl::Milliseconds;
using absl::Seconds;

const std::string& AnyNode(World& world) {
  return world.simulator().random().Pick(world.machines())->name();
}

// Most faults are short, some last longer than every timeout.
absl::Duration Lasting(World& world) {
  Random& random = world.simulator().random();
  return random.Chance(0.7) ? random.Between(Milliseconds(100), Seconds(8))
                            : random.Between(Seconds(8), Seconds(100));
}

void Isolate(World& world) {
  Random& random = world.simulator().random();
  const std::string node = AnyNode(world);
  const bool in = random.Chance(0.75);
  world.Isolate(node, in, !in || random.Chance(0.75));
  world.simulator().After(Lasting(world), [&world, node] { world.Reconnect(node); });
}

void SpoilNetwork(World& world) {
  Random& random = world.simulator().random();
  NetworkQuality quality;
  quality.loss = random.Chance(0.5) ? 0.3 * random.Fraction() : 0;
  quality.repeat = random.Chance(0.5) ? 0.3 * random.Fraction() : 0;
  quality.straggle = random.Chance(0.5) ? 0.05 * random.Fraction() : 0;
  quality.delay_max = random.Between(Milliseconds(2), Seconds(3));
  world.simulator().trace().Add("world", "spoils the network");
  world.network().set_quality(quality);
  world.simulator().After(Lasting(world), [&world] { world.network().set_quality({}); });
}

void SlowStore(World& world) {
  world.simulator().trace().Add("world", "slows the store");
  world.store_link().delay = world.simulator().random().Between(Milliseconds(20), Seconds(3));
  world.simulator().After(Lasting(world), [&world] { world.store_link().delay = Milliseconds(1); });
}

void FailStore(World& world) {
  const bool cut = world.simulator().random().Chance(0.3);
  world.simulator().trace().Add("world", cut ? "cuts the store off" : "lets the store fail often");
  world.store_link().cut = cut;
  world.store_link().loss = 0.3 * world.simulator().random().Fraction();
  world.simulator().After(Lasting(world), [&world] {
    world.store_link().cut = false;
    world.store_link().loss = 0;
  });
}

void FillDisk(World& world) {
  Random& random = world.simulator().random();
  const absl::Duration lasting = Lasting(world);
  switch (random.Between(0, 2)) {
    case 0:
      world.simulator().trace().Add("world", "fills the store's disk");
      world.store_link().disk_full = true;
      world.simulator().After(lasting, [&world] { world.store_link().disk_full = false; });
      return;
    case 1:
      world.simulator().trace().Add("world", "fills the artifact disk");
      world.storage().set_full(true);
      world.simulator().After(lasting, [&world] { world.storage().set_full(false); });
      return;
    default:
      Machine* const machine = random.Pick(world.machines()).get();
      world.simulator().trace().Add("world", "fills the disk of ", machine->name());
      machine->disk_full = true;
      world.simulator().After(lasting, [machine] { machine->disk_full = false; });
  }
}

void JumpClock(World& world) {
  Random& random = world.simulator().random();
  const absl::Duration size = random.Chance(0.5) ? random.Between(Milliseconds(100), Seconds(20))
                                                 : random.Between(Seconds(20), absl::Hours(2));
  const absl::Duration by = random.Chance(0.5) ? size : -size;
  if (random.Chance(0.4)) {
    world.simulator().trace().Add("world", "sets the controllers' clock by ",
                                  absl::FormatDuration(by));
    return world.JumpControllerClock(by);
  }
  Machine& machine = *random.Pick(world.machines());
  world.simulator().trace().Add("world", "sets the clock of ", machine.name(), " by ",
                                absl::FormatDuration(by));
  machine.clock.Jump(by);
}

// A device or the node's probe fails for a while, as the agent's own checks see it.
void SpoilHealth(World& world) {
  Random& random = world.simulator().random();
  Machine* const machine = random.Pick(world.machines()).get();
  const bool device = machine->info.devices_size() > 0 && random.Chance(0.7);
  const std::string what =
      device ? machine->info
                   .devices(static_cast<int>(random.Between(0, machine->info.devices_size() - 1)))
                   .id()
             : "";
  world.simulator().trace().Add("world", "breaks ", device ? what : "the probe", " of ",
                                machine->name());
  machine->SetBroken(what, true);
  world.simulator().After(Lasting(world), [machine, what] { machine->SetBroken(what, false); });
}

}  // namespace

void PlanFaults(World& world, const FaultRates& rates, absl::Time until) {
  const auto plan = [&](absl::Duration mean, std::function<void()> fault) {
    world.simulator().Repeat(mean, until, std::move(fault));
  };
  plan(rates.kill_controller, [&world] { world.KillController(Lasting(world)); });
  plan(rates.pause_controller, [&world] { world.PauseController(Lasting(world)); });
  plan(rates.take_over, [&world] { world.TakeOver(); });
  plan(rates.kill_agent, [&world] { world.KillAgent(AnyNode(world), Lasting(world)); });
  plan(rates.pause_agent, [&world] { world.PauseAgent(AnyNode(world), Lasting(world)); });
  plan(rates.kill_shim, [&world] { world.KillShim(AnyNode(world)); });
  plan(rates.power_cut, [&world] { world.CutPower(AnyNode(world), Lasting(world)); });
  plan(rates.partition, [&world] { Isolate(world); });
  plan(rates.bad_network, [&world] { SpoilNetwork(world); });
  plan(rates.slow_store, [&world] { SlowStore(world); });
  plan(rates.failing_store, [&world] { FailStore(world); });
  plan(rates.full_disk, [&world] { FillDisk(world); });
  plan(rates.clock_jump, [&world] { JumpClock(world); });
  plan(rates.health, [&world] { SpoilHealth(world); });
  world.simulator().After(until - world.simulator().Now(), [&world] {
    world.simulator().trace().Add("world", "heals");
    world.Heal();
  });
}

}  // namespace oneai::fabric::simulation
