// What is measured: prefill, decode, decode of many, and load as it came to a real service.
#pragma once

#include <string>
#include <vector>

#include "benchmarks/kernels/machine_peaks.h"
#include "benchmarks/serving/bench_model.h"

namespace oneai::serving {

// The best of the repetitions: what disturbs one only slows it.
struct BenchResult {
  std::string name;  // as llama-bench would call it: pp512, tg128, tg128@d2048
  double tokens_per_s = 0;
  double bandwidth_share = 0;    // of the measured memory bandwidth, by the bytes it must read
  double matrix_share = 0;       // of the measured matrix peak, by the operations it must do
  double peer_tokens_per_s = 0;  // 0: not measured
};

// One prompt of `num_tokens`.
BenchResult MeasurePrefill(BenchModel& model, const BenchOptions& options, int64_t num_tokens,
                           const kernels::MachinePeaks& peaks);
// `num_sequences` at once, each of `num_tokens` after a prompt of `depth` tokens.
BenchResult MeasureDecode(BenchModel& model, const BenchOptions& options, int num_sequences,
                          int64_t depth, int64_t num_tokens, const kernels::MachinePeaks& peaks);

// The peak for the weights' arithmetic.
double MatrixPeak(const BenchOptions& options, const kernels::MachinePeaks& peaks);

struct LoadOptions {
  std::filesystem::path trace;  // Azure's CSV; Mooncake's JSON lines
  double requests_per_s = 1;    // the recorded arrivals, sped up or slowed down to this mean
  double length_scale = 0.125;  // of recorded prompts and answers
  int64_t num_requests = 48;
  double ttft_slo_s = 2;
  double itl_slo_s = 0.2;
};

struct LoadResult {
  int64_t num_requests = 0, num_refused = 0;
  double seconds = 0;
  double prompt_tokens = 0, output_tokens = 0;
  double ttft_p50_s = 0, ttft_p99_s = 0;
  double itl_p50_s = 0, itl_p99_s = 0;
  double goodput_per_s = 0;  // requests within both limits, their mean time between tokens
  double hit_share = 0;      // of the prompt tokens, found in the prefix cache
};

// Open loop: requests come when they come. kNotFound, kInvalidArgument: the trace.
absl::StatusOr<LoadResult> MeasureLoad(BenchModel& model, const LoadOptions& options);

}  // namespace oneai::serving
