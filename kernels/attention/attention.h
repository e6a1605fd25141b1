// Causal attention of a ragged batch over a paged KV cache.
// Source: arXiv:2309.06180 (paging), arXiv:2205.14135 (tiles with a running maximum).
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/attention/kv_cache_view.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// out = softmax(scale * q k^T + mask) v per sequence and head; query head h reads KV head
// h / (num_heads / num_kv_heads).
//   q, out       [num_tokens, num_heads, head_dim] float32, tokens q_stride / out_stride apart
//   block_table  [num_sequences, block_table_stride] int32: block of tokens i*block_tokens.. of a
//   sequence seq_start    [num_sequences + 1] int32: sequence s has the query rows seq_start[s] ..
//   seq_start[s+1] context_len  [num_sequences] int32: tokens of the sequence in the cache, those
//   rows included (their
//                keys and values are written before the call). Row i of n stands at position
//                context_len - n + i and sees the positions up to its own.
//   window       0: all of them; w > 0: only the last w, its own included (sliding window)
struct AttentionArgs {
  const float* q = nullptr;
  int64_t q_stride = 0;
  float* out = nullptr;
  int64_t out_stride = 0;
  KvCacheView cache;
  const int32_t* block_table = nullptr;
  int64_t block_table_stride = 0;
  const int32_t* seq_start = nullptr;
  const int32_t* context_len = nullptr;
  int64_t num_sequences = 0;
  int64_t num_heads = 0;
  float scale = 1.0f;
  int64_t window = 0;
};

// Softmax and accumulation in float32. Keys are visited in tiles that start at multiples of
// kAttentionTile positions, whatever the batch: a query's result has the same bits whether it was
// computed in a prefill chunk of any size or as a single decode step, with any number of threads.
// Positions that a query may not see are never multiplied, so blocks may hold anything there.
// No sequences or tokens: no-op. Uses ctx's scratch. head_dim <= kAttentionHeadDimMax.
void Attention(const AttentionArgs& args, KernelContext& ctx);

inline constexpr int64_t kAttentionTile = 64;
inline constexpr int64_t kAttentionQueryTile = 16;  // query rows that share one pass over the keys
inline constexpr int64_t kAttentionHeadDimMax = 256;

// Some KV heads of up to kAttentionQueryTile consecutive query rows of one sequence. Decode takes
// several heads at once, because their keys are neighbours in memory; prefill takes one, whose keys
// then stay in the first-level cache. `scratch` is aligned to 64 and holds
// AttentionScratchBytes(args, task).
struct AttentionTask {
  int64_t sequence;
  int64_t kv_head_begin, kv_head_end;
  int64_t token_begin, token_end;  // rows of q
};
using AttentionFn = void (*)(const AttentionArgs& args, const AttentionTask& task,
                             std::byte* scratch);
size_t AttentionScratchBytes(const AttentionArgs& args, const AttentionTask& task);
absl::Span<const Variant<AttentionFn>> AttentionVariants();

// Attention() by one given variant, for tests and benchmarks.
void AttentionWith(const Variant<AttentionFn>& variant, const AttentionArgs& args,
                   KernelContext& ctx);

}  // namespace oneai::kernels
