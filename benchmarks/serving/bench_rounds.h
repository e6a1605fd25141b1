// Measuring on a machine that others use, too: everything that is compared is measured in turns,
// round by round, and what counts is the median of the rounds' ratios.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/kernels/machine_peaks.h"
#include "benchmarks/serving/bench_cases.h"
#include "models/json/json_reader.h"

namespace oneai::serving {

// What the machine can do at the moment. `sustained` is the median of pieces of a few milliseconds,
// `best` the best of them, which nothing of a second's length can reach while others work.
struct Ceiling {
  double sustained = 0;
  double best = 0;
};

// Keeps 1 GiB while it lives.
class Ceilings {
 public:
  // For the weights' arithmetic as `options` has it.
  explicit Ceilings(const BenchOptions& options);

  Ceiling ReadBytesPerS();
  Ceiling MatrixOpsPerS();
  int num_threads() { return context_.threads().num_threads(); }
  // "avx512_bf16", ...: of the matrix peak.
  const std::string& unit() const { return unit_; }

 private:
  kernels::KernelContext context_;
  kernels::MemoryReader reader_;
  std::string unit_;
};

// The median of some rounds, and the least and the most.
struct Spread {
  double median = 0, min = 0, max = 0;
};
Spread SpreadOf(std::vector<double> values);

struct BenchResult {
  BenchCase work;
  Spread tokens_per_s;
  Spread bandwidth_share;    // of the memory bandwidth beside it, by the bytes it must read
  Spread matrix_share;       // of the matrix peak beside it, by the operations it must do
  Spread bandwidth, matrix;  // those ceilings
  double best_bandwidth_share = 0, best_matrix_share = 0;  // of the best moment of any round
  std::optional<Spread> peer_tokens_per_s, ratio;          // ours / the peer's beside it
};

// Each round measures the ceilings, the case, the ceilings, and the peer: `peer` is a llama-bench
// command without tests, or empty; -p, -n and -d of the case are added to it. kInternal: it failed.
absl::StatusOr<BenchResult> MeasureRounds(BenchModel& model, const BenchOptions& options,
                                          const BenchCase& work, const std::string& peer,
                                          Ceilings& ceilings);

void PrintHeader();
void Print(const BenchResult& result);
models::Json ToJson(const BenchResult& result);

// Runs the case once more and prints where its time went.
void PrintProfile(BenchModel& model, const BenchCase& work);

}  // namespace oneai::serving
