// Planned starts, and the words of one, on 10,000 nodes x 8 devices that 80,000 jobs keep busy. Not
// part of the tests.
//
//   compute_fabric_backfill_bench
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "compute_fabric/scheduler/backfill.h"
#include "compute_fabric/scheduler/plan.h"

namespace oneai::fabric {
namespace {

constexpr char kGpu[] = "nvidia-h100-80g";
constexpr int kNumNodes = 10'000;
constexpr int kPerNode = 8;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

JobView MakeJob(const std::string& id, int tasks, int gpus) {
  JobView job{.id = id, .queue = "q", .submitted = kNow, .gang = true};
  job.tasks = job.tasks_min = tasks;
  job.shape.cpu_milli = 1000;
  job.shape.devices = {{.kind = kGpu, .count = gpus}};
  job.time_limit = absl::Hours(1);
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

// One job a device; ends lie an hour apart at most, in an order that has nothing to do with nodes.
SchedulerState& Busy() {
  static auto* const busy = [] {
    auto* state = new SchedulerState();
    for (int n = 0; n < kNumNodes; ++n) {
      NodeSpec node{.name = absl::StrCat("node-", n),
                    .cpu_milli = 64'000,
                    .memory_bytes = int64_t{512} << 30,
                    .labels = {{"rack", absl::StrCat("rack-", n / 16)}}};
      for (int i = 0; i < kPerNode; ++i) {
        node.devices.push_back(
            {.id = absl::StrCat(i), .kind = kGpu, .memory_bytes = int64_t{80} << 30});
      }
      SetNode(*state, node);
    }
    for (int j = 0; j < kNumNodes * kPerNode; ++j) {
      JobView job = MakeJob(absl::StrCat("job-", j), 1, 1);
      job.ranks.clear();
      job.started = kNow - absl::Hours(1) + absl::Seconds(int64_t{j} * 7919 % 3600);
      TaskPlacement task{.rank = 0, .node = absl::StrCat("node-", j / kPerNode)};
      task.device = job.shape.devices[0];
      task.grants = {{absl::StrCat(j % kPerNode), kWholeDevice, int64_t{80} << 30}};
      job.placed = {task};
      SetJob(*state, std::move(job));
    }
    return state;
  }();
  return *busy;
}

// A pass that gives `bench.range(0)` gangs of 64 nodes a planned start.
void BM_Reserve(benchmark::State& bench) {
  SchedulerState& state = Busy();
  const Policy policy;
  for (auto _ : bench) {
    BackfillWindow window(&state, &policy, kNow);
    for (int64_t i = 0; i < bench.range(0); ++i) {
      benchmark::DoNotOptimize(window.Reserve(MakeJob(absl::StrCat("wait-", i), 64, 8)));
    }
  }
}
BENCHMARK(BM_Reserve)->Arg(1)->Arg(8)->Unit(benchmark::kMillisecond);

// The same for jobs of one device, which end their search at the first releases.
void BM_ReserveSmall(benchmark::State& bench) {
  SchedulerState& state = Busy();
  const Policy policy;
  for (auto _ : bench) {
    BackfillWindow window(&state, &policy, kNow);
    for (int64_t i = 0; i < bench.range(0); ++i) {
      benchmark::DoNotOptimize(window.Reserve(MakeJob(absl::StrCat("wait-", i), 1, 1)));
    }
  }
}
BENCHMARK(BM_ReserveSmall)->Arg(8)->Unit(benchmark::kMillisecond);

void BM_Explain(benchmark::State& bench) {
  SchedulerState& state = Busy();
  Policy policy;
  policy.preemption = false;
  SetJob(state, MakeJob("why", 64, 8));
  for (auto _ : bench) benchmark::DoNotOptimize(Explain(state, policy, "why", kNow));
  RemoveJob(state, "why");
}
BENCHMARK(BM_Explain)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace oneai::fabric

BENCHMARK_MAIN();
