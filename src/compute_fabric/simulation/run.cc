#include "compute_fabric/simulation/run.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/ids.h"
#include "compute_fabric/simulation/fault_plan.h"
#include "compute_fabric/simulation/workload.h"
#include "compute_fabric/simulation/world.h"

namespace oneai::fabric::simulation {
namespace {

constexpr absl::Duration kLook = absl::Seconds(5);
constexpr absl::Duration kPatience = absl::Seconds(15);
// What has ended on record ends on its machine within the longest grace and a few heartbeats.
constexpr absl::Duration kLeftOverMax = absl::Minutes(2);
constexpr size_t kStoryLines = 80;

// Looks at the waiting jobs again and again.
void WatchReasons(World& world) {
  world.simulator().After(kLook, [&world] {
    if (world.ControlPlaneIsWell()) {
      world.truth().CheckReasons(kPatience,
                                 [&](const std::string& id) { return world.ReasonsOf(id); });
    } else {
      world.truth().ExcuseMissingReasons();
    }
    WatchReasons(world);
  });
}

// After the faults: until all is done, at most until `end`.
void Settle(World& world, Workload& workload, absl::Time end) {
  Simulator& simulator = world.simulator();
  while (!simulator.stopped() && simulator.Now() < end) {
    simulator.RunUntil(simulator.Now() + absl::Seconds(5));
    if (workload.IsDone() && world.truth().Unfinished().empty()) break;
  }
  if (simulator.stopped()) return;
  if (const std::vector<std::string> unfinished = world.truth().Unfinished(); !unfinished.empty()) {
    const std::string id = unfinished[0].substr(0, unfinished[0].find(' '));
    world.truth().Violate(
        "liveness after faults stop",
        absl::StrCat(unfinished.size(), " jobs have not ended, such as ", unfinished[0],
                     "; its reasons: ", absl::StrJoin(world.ReasonsOf(id), ", ")),
        {id});
    return;
  }
  if (!workload.IsDone()) {
    world.truth().Violate("liveness after faults stop", "a user's call is never answered",
                          {"user"});
    return;
  }
  simulator.RunUntil(simulator.Now() + kLeftOverMax);
  if (simulator.stopped()) return;
  if (const std::vector<std::string> left = world.truth().LeftOver(); !left.empty()) {
    world.truth().Violate("nothing runs that should not", absl::StrJoin(left, "; "),
                          {left[0].substr(0, left[0].find('.'))});
  }
}

}  // namespace

RunResult RunSeed(const RunOptions& options) {
  const ScopedIdSequence ids(options.seed);
  Simulator simulator(options.seed);
  simulator.trace().set_live(options.live_trace);
  World world(&simulator, options.scenario);
  Workload workload(&world);
  const absl::Time start = simulator.Now();
  const absl::Time faults_end = start + options.fault_time;
  PlanFaults(world, options.scenario.faults, faults_end);
  workload.Begin(faults_end);
  WatchReasons(world);
  simulator.RunUntil(faults_end);
  if (!simulator.stopped()) {
    workload.WindDown();
    Settle(world, workload, faults_end + options.settle_time);
  }

  world.End();
  RunResult result{.seed = options.seed, .scenario = options.scenario.name};
  result.simulated = simulator.Now() - start;
  result.num_nodes = static_cast<int>(world.machines().size());
  result.num_events = simulator.num_events();
  result.num_jobs = static_cast<int64_t>(world.truth().jobs().size());
  result.num_refused = workload.num_refused();
  result.num_starts = world.truth().num_starts();
  result.trace_hash = simulator.trace().hash();
  if (!world.truth().violations().empty()) {
    const Violation& first = world.truth().violations().front();
    result.violation = absl::StrCat(first.invariant, ": ", first.what);
    std::vector<std::string> words = first.words;
    words.insert(words.end(), {"world ", "controller", "VIOLATION"});
    result.story = simulator.trace().Tail(words, kStoryLines);
  }
  return result;
}

std::string ReplayCommand(const RunResult& result) {
  return absl::StrCat("oneai-dst --seed ", result.seed, " --scenario ", result.scenario,
                      " --trace");
}

}  // namespace oneai::fabric::simulation
