// Load on a server and what its callers saw, in the words of vLLM's benchmark: TTFT is the time to
// the first token, ITL each gap between pieces of one answer, TPOT the mean gap of one answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "benchmarks/serving/load_target.h"
#include "models/json/json_reader.h"

namespace oneai::serving {

struct PlannedRequest {
  double arrival_s = 0;  // of an open loop
  LoadRequest request;
};

// What one caller saw.
struct Exchange {
  absl::Time sent;
  std::vector<absl::Time> pieces;  // when each arrived
  absl::Time done;
  int64_t num_prompt = 0, num_tokens = 0;
  absl::Status status;
};

// Closed loop: `num_clients` callers, each of which sends its next request when its last is
// answered.
std::vector<Exchange> RunClosedLoop(LoadTarget& target, int num_clients,
                                    const std::vector<PlannedRequest>& requests);
// Open loop: requests come when they come.
std::vector<Exchange> RunOpenLoop(LoadTarget& target, const std::vector<PlannedRequest>& requests);

struct LoadLimits {
  double ttft_s = 2, tpot_s = 0.2;  // of a request that counts as served well
};

// Keys as vLLM's benchmark prints them.
models::Json Summarize(const std::vector<Exchange>& exchanges, const LoadLimits& limits);
// The summary as a table of a few lines.
std::string FormatSummary(const models::Json& summary);

}  // namespace oneai::serving
