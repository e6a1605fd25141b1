// A counting sort, which keeps tokens in order within an expert.
#include "kernels/moe/expert_rows.h"

#include <algorithm>

namespace oneai::kernels {

void GroupByExpert(absl::Span<const int32_t> experts, absl::Span<const float> weights, int64_t k,
                   int64_t num_experts, ExpertRows& rows) {
  rows.next.assign(num_experts, 0);
  for (const int32_t expert : experts) ++rows.next[expert];
  rows.experts.clear();
  rows.rows_max = 0;
  int64_t begin = 0;
  for (int64_t e = 0; e < num_experts; ++e) {
    const int64_t count = rows.next[e];
    rows.next[e] = begin;
    if (count == 0) continue;
    rows.experts.push_back({static_cast<int32_t>(e), begin, begin + count});
    rows.rows_max = std::max(rows.rows_max, count);
    begin += count;
  }
  rows.token.resize(experts.size());
  rows.weight.resize(experts.size());
  for (size_t i = 0; i < experts.size(); ++i) {
    const int64_t row = rows.next[experts[i]]++;
    rows.token[row] = static_cast<int32_t>(static_cast<int64_t>(i) / k);
    rows.weight[row] = weights[i];
  }
}

}  // namespace oneai::kernels
