// The gated delta rule: a matrix per head as memory, which decays, forgets what a key pointed to
// and learns the key's new value. Source: arXiv:2412.06464; Hugging Face transformers,
// modeling_qwen3_next.py (torch_recurrent_gated_delta_rule).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/delta_net/recurrent_state_view.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

inline constexpr int64_t kDeltaKeyDimMax = 256;
inline constexpr double kDeltaL2Epsilon = 1e-6;

// S is kept in groups of columns, each of which stays in the first-level cache while a sequence's
// tokens pass: [value_dim / 64][key_dim][64] floats; a last group is as narrow as what is left, so
// that up to 64 columns S is a plain [key_dim, value_dim] matrix.
inline constexpr int64_t kDeltaColumns = 64;
inline int64_t DeltaStateIndex(int64_t key_dim, int64_t value_dim, int64_t row, int64_t column) {
  const int64_t first = column / kDeltaColumns * kDeltaColumns;
  return first * key_dim + row * std::min(kDeltaColumns, value_dim - first) + column - first;
}

// g = -exp(a_log[h]) * softplus(a + dt_bias[h]) and beta = sigmoid(b), per token and value head.
//   b, a            [num_tokens, num_heads] float32, rows `in_stride` apart
//   a_log, dt_bias  [num_heads] float32
//   g, beta         [num_tokens, num_heads] float32 without gaps; g is the logarithm of the decay
struct DeltaGatesArgs {
  const float* b = nullptr;
  const float* a = nullptr;
  int64_t in_stride = 0;
  const float* a_log = nullptr;
  const float* dt_bias = nullptr;
  float* g = nullptr;
  float* beta = nullptr;
  int64_t num_tokens = 0;
  int64_t num_heads = 0;
};

// Elementwise, so batch-invariant. No tokens: no-op.
void DeltaGates(const DeltaGatesArgs& args, KernelContext& ctx);

// For every value head, over the tokens of a sequence in order, with q' = q rsqrt(|q|^2 + 1e-6)
// key_dim^-0.5 and k' = k rsqrt(|k|^2 + 1e-6):
//   S <- exp(g) S;  S <- S + k' (x) beta (v - S^T k');  out = S^T q'
//   q, k       [num_tokens, num_key_heads, key_dim] float32, tokens `token_stride` apart, heads
//              without gaps; value head h uses key head h / (num_value_heads / num_key_heads)
//   v          [num_tokens, num_value_heads, value_dim] float32, tokens `token_stride` apart
//   g, beta    [num_tokens, num_value_heads] float32
//   out        [num_tokens, num_value_heads, value_dim] float32, tokens `out_stride` apart
//   runs       sequences' parts, and the slots they read and write
//   state      slot s at state + s * slot_stride: [num_value_heads] matrices S of key_dim *
//              value_dim floats (DeltaStateIndex)
// key_dim <= kDeltaKeyDimMax; num_value_heads is a multiple of num_key_heads.
struct DeltaRuleArgs {
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  int64_t token_stride = 0;
  const float* g = nullptr;
  const float* beta = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;
  const RecurrentRun* runs = nullptr;
  int64_t num_runs = 0;
  float* state = nullptr;
  int64_t slot_stride = 0;
  int64_t num_key_heads = 0;
  int64_t num_value_heads = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;
};

// The matrix of `head` in the slot that `run` writes, with what it starts from.
inline float* OpenState(const DeltaRuleArgs& args, const RecurrentRun& run, int64_t head) {
  const int64_t size = args.key_dim * args.value_dim;
  float* state = args.state + run.to * args.slot_stride + head * size;
  if (run.from == kZeroState) {
    std::fill_n(state, size, 0.0f);
  } else if (run.from != run.to) {
    std::copy_n(args.state + run.from * args.slot_stride + head * size, size, state);
  }
  return state;
}

// Float32, token by token, sums over key_dim in ascending order: the bits of a token's output and
// of S depend neither on the other runs nor on where the tokens were cut into runs. No runs: no-op.
void DeltaRule(const DeltaRuleArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
