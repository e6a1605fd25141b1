// Which experts a token passes. Source: arXiv:2101.03961 (softmax routing), and the Hugging Face
// models qwen2_moe and qwen3_moe, whose softmax goes over all experts before the choice.
#pragma once

#include <cstdint>

#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

//   logits   [num_tokens, num_experts] float32, rows `logits_stride` elements apart
//   experts  [num_tokens, k] int32, best first; of equal ones the lower number
//   weights  [num_tokens, k] float32: softmax over all experts; divided by their sum with
//            `normalize`
// 1 <= k <= num_experts.
struct RouteArgs {
  const float* logits = nullptr;
  int64_t logits_stride = 0;
  int64_t num_tokens = 0;
  int64_t num_experts = 0;
  int64_t k = 0;
  bool normalize = false;
  int32_t* experts = nullptr;
  float* weights = nullptr;
};

// Routes each token by itself. A NaN logit is never chosen before a number.
void Route(const RouteArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
