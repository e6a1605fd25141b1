// QueueOrder with 100,000 waiting jobs in 1,000 queues: what a step costs. Not part of the tests.
//
//   compute_fabric_order_queues_bench
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "compute_fabric/scheduler/order_queues.h"

namespace oneai::fabric {
namespace {

constexpr char kGpu[] = "nvidia-h100-80g";
constexpr int kNumJobs = 100'000;
constexpr int kNumQueues = 1'000;

SchedulerState& Waiting() {
  static auto* const waiting = [] {
    auto* state = new SchedulerState();
    state->queues.SetCapacity({{kGpu, 80'000'000}});
    std::vector<QueueSpec> specs;
    for (int u = 0; u < 50; ++u) {
      QueueSpec unit;
      unit.path = absl::StrCat("unit-", u);
      unit.nominal[kGpu] = 1'000'000;
      specs.push_back(unit);
    }
    if (!SetQueues(*state, specs).ok()) std::abort();
    for (int j = 0; j < kNumJobs; ++j) {
      JobView job;
      job.id = absl::StrCat("job-", j);
      const int queue = j * 7919 % kNumQueues;
      job.queue = absl::StrCat("unit-", queue % 50, "/project-", queue / 50);
      job.priority = j % 3;
      job.submitted = absl::UnixEpoch() + absl::Seconds(j);
      job.sequence = static_cast<uint64_t>(j);
      job.shape.devices.push_back({kGpu, 1 + j % 8});
      job.ranks = {0};
      SetJob(*state, std::move(job));
    }
    return state;
  }();
  return *waiting;
}

// A pass over `bench.range(0)` jobs, each of which is charged; the charges are given back.
void BM_Steps(benchmark::State& bench) {
  SchedulerState& state = Waiting();
  const Policy policy;
  for (auto _ : bench) {
    QueueOrder order(&state, &policy);
    std::vector<const JobView*> placed;
    while (static_cast<int64_t>(placed.size()) < bench.range(0)) {
      const JobView* job = order.Next();
      if (job == nullptr) break;
      state.queues.Charge(job->queue, {{kGpu, 1000}});
      order.Placed();
      placed.push_back(job);
    }
    bench.PauseTiming();
    for (const JobView* job : placed) state.queues.Charge(job->queue, {{kGpu, 1000}}, -1);
    bench.ResumeTiming();
  }
  bench.SetItemsProcessed(bench.iterations() * bench.range(0));
}

BENCHMARK(BM_Steps)->Arg(1)->Arg(1000)->Arg(100'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace oneai::fabric

BENCHMARK_MAIN();
