// FindVictims at 10,000 nodes x 8 devices with 50,000 running jobs: what one search costs, by what
// asks. Not part of the tests.
//
//   compute_fabric_preempt_bench
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "compute_fabric/scheduler/preempt.h"

namespace oneai::fabric {
namespace {

constexpr char kGpu[] = "nvidia-h100-80g";
constexpr int kNumNodes = 10'000;
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1000);

void Run(SchedulerState& state, int node, int first, int count, int number) {
  JobView job;
  job.id = absl::StrCat("job-", number);
  job.queue = absl::StrCat("finance/project-", number % 500);
  job.shape.cpu_milli = 4000;
  job.shape.devices.push_back({kGpu, count});
  job.started = kNow - absl::Hours(10);
  job.last_checkpoint = kNow - absl::Minutes(number * 7919 % 300);
  TaskPlacement task;
  task.node = absl::StrCat("node-", node);
  task.device = job.shape.devices[0];
  for (int i = first; i < first + count; ++i) task.grants.push_back({absl::StrCat("d", i)});
  job.placed.push_back(task);
  SetJob(state, std::move(job));
}

SchedulerState& Full() {
  static auto* const full = [] {
    auto* state = new SchedulerState();
    for (int n = 0; n < kNumNodes; ++n) {
      NodeSpec node;
      node.name = absl::StrCat("node-", n);
      node.cpu_milli = 128'000;
      node.memory_bytes = int64_t{1} << 40;
      node.labels["rack"] = absl::StrCat("rack-", n / 32);
      for (int i = 0; i < 8; ++i) {
        node.devices.push_back({absl::StrCat("d", i), kGpu, int64_t{80} << 30, true, ""});
      }
      SetNode(*state, node);
      Run(*state, n, 0, 4, 5 * n);
      for (int i = 0; i < 4; ++i) Run(*state, n, 4 + i, 1, 5 * n + 1 + i);
    }
    std::vector<QueueSpec> specs(2);
    specs[0].path = "retail";
    specs[0].nominal[kGpu] = 40'000'000;
    specs[1].path = "finance";
    specs[1].nominal[kGpu] = 40'000'000;
    if (!SetQueues(*state, specs).ok()) std::abort();
    state->cluster.Keep();
    return state;
  }();
  return *full;
}

JobView Waiting(int tasks, int devices, const std::string& queue) {
  JobView job;
  job.id = "waiting";
  job.queue = queue;
  job.gang = true;
  job.tasks = job.tasks_min = tasks;
  job.shape.cpu_milli = 4000;
  job.shape.devices.push_back({kGpu, devices});
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

void Measure(benchmark::State& bench, const JobView& job, size_t evictions_max) {
  SchedulerState& state = Full();
  Policy policy;
  policy.evictions_max = 4096;
  size_t evictions = 0;
  for (auto _ : bench) {
    evictions = FindVictims(state, policy, job, {}, kNow).evictions.size();
    if (evictions > evictions_max) bench.SkipWithError("more evictions than expected");
  }
  bench.counters["evictions"] = static_cast<double>(evictions);
}

void BM_OneDevice(benchmark::State& bench) { Measure(bench, Waiting(1, 1, "retail"), 1); }
void BM_WholeNode(benchmark::State& bench) { Measure(bench, Waiting(1, 8, "retail"), 5); }
void BM_GangAnywhere(benchmark::State& bench) { Measure(bench, Waiting(64, 4, "retail"), 256); }
void BM_GangInARack(benchmark::State& bench) {
  JobView job = Waiting(16, 8, "retail");
  job.topology = TopologyWish{TopologyLevel::kRack, /*required=*/true};
  Measure(bench, job, 80);
}
// Nobody below it in its queue, nobody borrows what it could claim.
void BM_NobodyInReach(benchmark::State& bench) { Measure(bench, Waiting(1, 1, "finance/new"), 0); }
// Who could be stopped can never make room.
void BM_InVain(benchmark::State& bench) {
  JobView job = Waiting(33, 8, "retail");
  job.topology = TopologyWish{TopologyLevel::kRack, /*required=*/true};
  Measure(bench, job, 0);
}

BENCHMARK(BM_OneDevice)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_WholeNode)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_GangAnywhere)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_GangInARack)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_NobodyInReach)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_InVain)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace oneai::fabric

BENCHMARK_MAIN();
