// What is measured: prefill, decode, decode of many, and load as it came to a real service.
#pragma once

#include <string>

#include "benchmarks/serving/bench_model.h"

namespace oneai::serving {

// Prompts of `num_prompt` tokens, of which with `measures_prompt` the first token is timed, else
// `num_output` tokens after it.
struct BenchCase {
  std::string name;  // as llama-bench would call it: pp512, tg128, tg128@d2048; tg32x16 for 16
  bool measures_prompt = false;
  int num_sequences = 1;
  int64_t num_prompt = 1;
  int64_t num_output = 1;
};
BenchCase PrefillCase(int64_t num_tokens);
BenchCase DecodeCase(int num_sequences, int64_t depth, int64_t num_tokens);

// Any of those by its name. kInvalidArgument: it is none, or empty.
absl::StatusOr<BenchCase> ParseCase(const std::string& name);

// The least that a case has to read and compute, and the tokens that count.
struct CaseWork {
  double tokens = 0, bytes = 0, flops = 0;
};
CaseWork WorkOf(const BenchCase& bench_case, const ModelCost& cost);

// Seconds that the measured part takes, once.
double RunOnce(BenchModel& model, const BenchCase& bench_case);

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
