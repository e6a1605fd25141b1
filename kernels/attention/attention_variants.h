// The functions behind AttentionVariants(), and where a position of a sequence lies in the cache.
#pragma once

#include "kernels/attention/attention.h"

namespace oneai::kernels {

// Offset in elements of (position, kv head) of `sequence` in cache.k and cache.v.
inline int64_t KvOffset(const AttentionArgs& args, int64_t sequence, int64_t position,
                        int64_t kv_head) {
  const KvCacheView& c = args.cache;
  const int64_t block =
      args.block_table[sequence * args.block_table_stride + position / c.block_tokens];
  return block * c.block_stride +
         (position % c.block_tokens * c.num_kv_heads + kv_head) * c.head_dim;
}

// Position of query row `token` in its sequence.
inline int64_t QueryPosition(const AttentionArgs& args, int64_t sequence, int64_t token) {
  return args.context_len[sequence] - (args.seq_start[sequence + 1] - token);
}

// First position that a query at `position` sees.
inline int64_t FirstVisible(const AttentionArgs& args, int64_t position) {
  return args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
}

void AttentionRef(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);
void AttentionAvx2(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);
void AttentionAvx512(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);

}  // namespace oneai::kernels
