// Timing for the table benchmarks.
#pragma once

#include <algorithm>
#include <chrono>

namespace oneai::kernels {

// Shortest of `repetitions` runs, in seconds: the one that other users of the machine disturbed
// least.
template <typename Run>
double BestSeconds(int repetitions, Run run) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = Clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace oneai::kernels
