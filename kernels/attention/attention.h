// Causal attention of a ragged batch over a paged KV cache.
// Source: arXiv:2309.06180 (paging), arXiv:2205.14135 (tiles with a running maximum),
// "Flash-Decoding for long-context inference" (Stanford CRFM, 2023: chunks of the context in
// parallel).
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
//                sequence
//   seq_start    [num_sequences + 1] int32: sequence s has the query rows seq_start[s] ..
//                seq_start[s+1]
//   context_len  [num_sequences] int32: tokens of the sequence in the cache, those rows included
//                (their keys and values are written before the call). Row i of n stands at position
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

// Softmax and accumulation in float32. What is multiplied: with a kF32 cache float32; with kBf16
// and kInt8 float32 too, except on units that multiply bf16 pairs (variants avx512_bf16, amx_bf16),
// which round q and the softmax weights to bf16 (a relative error of 2^-9 each).
//
// Keys are visited in tiles that start at multiples of kAttentionTile positions and are summed in
// chunks that start at multiples of kAttentionChunk, which are then combined in order; so a query's
// result has the same bits whether it was computed in a prefill chunk of any size or as a single
// decode step, beside any other sequences, with any number of threads.
//
// What no query of the call may see is never used, so blocks may hold anything there. (A value that
// is infinite or NaN may spoil earlier queries of the same call within the tile.)
// No sequences or tokens: no-op. Uses ctx's scratch. head_dim is even, <= kAttentionHeadDimMax.
// Fast for head_dim a multiple of 32 and block_tokens a multiple of 16; correct for others.
void Attention(const AttentionArgs& args, KernelContext& ctx);

inline constexpr int64_t kAttentionTile = 64;
inline constexpr int64_t kAttentionChunk = 512;
inline constexpr int64_t kAttentionQueryRows = 24;  // query rows that share one pass over the keys
inline constexpr int64_t kAttentionHeadDimMax = 256;

// kWhole computes outputs. On many threads and few sequences the chunks of a context are computed
// apart (kChunks) and put together afterwards (kMerge).
enum class AttentionStep { kWhole, kChunks, kMerge };

// The query heads of one KV head for some consecutive query rows of one sequence (about
// kAttentionQueryRows of head times token), over the chunks [chunk_begin, chunk_end). `partials`
// has AttentionPartialFloats() per row and chunk from the first one that the token range sees.
// `scratch` is aligned to 64 and holds AttentionScratchBytes().
struct AttentionTask {
  int64_t sequence = 0;
  int64_t kv_head = 0;
  int64_t token_begin = 0, token_end = 0;  // rows of q
  int64_t chunk_begin = 0, chunk_end = 0;
  AttentionStep step = AttentionStep::kWhole;
  float* partials = nullptr;
};
using AttentionFn = void (*)(const AttentionArgs& args, const AttentionTask& task,
                             std::byte* scratch);
size_t AttentionScratchBytes(const AttentionArgs& args);
int64_t AttentionPartialFloats(const AttentionArgs& args);
absl::Span<const Variant<AttentionFn>> AttentionVariants();

// Attention() by one given variant, for tests and benchmarks. kNever and kAlways fix whether
// contexts are cut into chunks; the result's bits do not depend on it.
enum class AttentionSplit { kByLoad, kNever, kAlways };
void AttentionWith(const Variant<AttentionFn>& variant, const AttentionArgs& args,
                   KernelContext& ctx, AttentionSplit split = AttentionSplit::kByLoad);

}  // namespace oneai::kernels
