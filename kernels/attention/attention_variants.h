// The functions behind AttentionVariants(), and where a sequence's positions lie.
#pragma once

#include "kernels/attention/attention.h"

namespace oneai::kernels {

// head_dim up to whole steps of every unit.
inline int64_t PaddedHeadDim(const AttentionArgs& args) {
  return (args.cache.head_dim + 31) / 32 * 32;
}

inline int64_t GroupSize(const AttentionArgs& args) {
  return args.num_heads / args.cache.num_kv_heads;
}

// Position of query row `token` in its sequence.
inline int64_t QueryPosition(const AttentionArgs& args, int64_t sequence, int64_t token) {
  return args.context_len[sequence] - (args.seq_start[sequence + 1] - token);
}

// First position that a query at `position` sees.
inline int64_t FirstVisible(const AttentionArgs& args, int64_t position) {
  return args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
}

// First chunk that the task's first row sees: where its partial results begin.
inline int64_t FirstChunk(const AttentionArgs& args, const AttentionTask& task) {
  return FirstVisible(args, QueryPosition(args, task.sequence, task.token_begin)) / kAttentionChunk;
}

// Behind the last chunk that the task's last row sees.
inline int64_t EndChunk(const AttentionArgs& args, const AttentionTask& task) {
  return QueryPosition(args, task.sequence, task.token_end - 1) / kAttentionChunk + 1;
}

void WriteKvRef(const WriteKvArgs& args, int64_t begin, int64_t end);
void WriteKvAvx2(const WriteKvArgs& args, int64_t begin, int64_t end);
void WriteKvAvx512(const WriteKvArgs& args, int64_t begin, int64_t end);
void AttentionRef(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);
void AttentionAvx2(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);
void AttentionAvx512(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);
void AttentionAvx512Bf16(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);
void AttentionAmxBf16(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch);

}  // namespace oneai::kernels
