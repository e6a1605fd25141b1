// What it costs to start and end a loop on the pool, in nanoseconds: back to back, when the threads
// spin, and after a pause, when they sleep. And the processor time that an idle pool takes.
//
//   thread_pool_bench [threads]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "benchmarks/kernels/stopwatch.h"
#include "kernels/thread_pool/cpu_topology.h"
#include "kernels/thread_pool/thread_pool.h"

namespace oneai::kernels {
namespace {

double Median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + static_cast<int64_t>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

void Sleep(long nanoseconds) {
  const timespec wait{.tv_sec = 0, .tv_nsec = nanoseconds};
  nanosleep(&wait, nullptr);
}

double ProcessSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void Measure(int threads) {
  ThreadPool pool(threads);
  const auto nothing = [](int64_t, int64_t, int) {};
  constexpr int kLoops = 1000;
  std::vector<double> spinning, sleeping;
  for (int repetition = 0; repetition < 30; ++repetition) {
    spinning.push_back(BestSeconds(1,
                                   [&] {
                                     for (int i = 0; i < kLoops; ++i)
                                       pool.ParallelFor(threads, nothing);
                                   }) /
                       kLoops);
  }
  for (int repetition = 0; repetition < 200; ++repetition) {
    Sleep(1'000'000);
    sleeping.push_back(BestSeconds(1, [&] { pool.ParallelFor(threads, nothing); }));
  }
  const double before = ProcessSeconds();
  Sleep(300'000'000);
  const double idle = (ProcessSeconds() - before) / 0.3;
  std::printf(
      "%3d threads  back to back: best %6.0f ns, median %7.0f ns   asleep: best %7.0f ns, "
      "median %8.0f ns   idle: %.2f %% of a core\n",
      threads, *std::min_element(spinning.begin(), spinning.end()) * 1e9, Median(spinning) * 1e9,
      *std::min_element(sleeping.begin(), sleeping.end()) * 1e9, Median(sleeping) * 1e9,
      idle * 100);
}

int Main(int argc, char** argv) {
  const CpuTopology topology = ReadCpuTopology();
  std::printf("%zu logical processors on %zu cores and %d NUMA nodes, quota %d: %d threads\n",
              topology.cpus.size(), topology.Cores().size(), topology.num_nodes, topology.quota,
              topology.DefaultThreads());
  const int max = argc > 1 ? std::atoi(argv[1]) : topology.DefaultThreads();
  for (int threads = 1; threads < max; threads *= 2) Measure(threads);
  Measure(max);
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main(int argc, char** argv) { return oneai::kernels::Main(argc, argv); }
