// The tokens of a step, expert by expert.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace oneai::kernels {

// Rows are sorted by expert, then by token: row r is the visit of token `token[r]` to its expert,
// with weight `weight[r]`. Experts nobody visits have no entry. Reused from step to step, so that a
// steady workload does not allocate.
struct ExpertRows {
  struct Expert {
    int32_t expert;
    int64_t begin, end;  // rows
  };
  std::vector<Expert> experts;  // visited ones, rising
  std::vector<int32_t> token;   // [num_tokens * k]
  std::vector<float> weight;    // [num_tokens * k]
  int64_t rows_max = 0;         // of one expert

  std::vector<int64_t> next;  // scratch of GroupByExpert, [num_experts]
};

// Groups the choice of `experts` and `weights` [num_tokens, k] (distinct experts per token, each in
// [0, num_experts)) into `rows`.
void GroupByExpert(absl::Span<const int32_t> experts, absl::Span<const float> weights, int64_t k,
                   int64_t num_experts, ExpertRows& rows);

}  // namespace oneai::kernels
