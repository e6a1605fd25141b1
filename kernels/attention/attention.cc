// Cuts the batch into tasks of one KV head and a few consecutive query tokens. KV heads are the
// outer order: every thread then gets whole heads of every sequence, so that causal work, which
// grows along a sequence, is spread evenly.
#include "kernels/attention/attention.h"

#include <algorithm>

namespace oneai::kernels {
namespace {

// Query tokens per task: enough heads and tokens to fill a query tile.
int64_t TokensPerTask(const AttentionArgs& args) {
  const int64_t group = args.num_heads / args.cache.num_kv_heads;
  return std::max<int64_t>(1, kAttentionQueryTile / group);
}

int64_t TasksOf(const AttentionArgs& args, int64_t sequence, int64_t tokens_per_task) {
  const int64_t tokens = args.seq_start[sequence + 1] - args.seq_start[sequence];
  return (tokens + tokens_per_task - 1) / tokens_per_task;
}

}  // namespace

void AttentionWith(const Variant<AttentionFn>& variant, const AttentionArgs& args,
                   KernelContext& ctx) {
  const int64_t tokens_per_task = TokensPerTask(args);
  int64_t tasks_per_head = 0;
  for (int64_t s = 0; s < args.num_sequences; ++s)
    tasks_per_head += TasksOf(args, s, tokens_per_task);
  if (tasks_per_head == 0) return;
  const size_t bytes = AttentionScratchBytes(args);
  std::byte* scratch = ctx.Scratch(bytes * ctx.threads().num_threads());

  ctx.threads().ParallelFor(args.cache.num_kv_heads * tasks_per_head, [&](int64_t begin,
                                                                          int64_t end, int worker) {
    int64_t kv_head = begin / tasks_per_head;
    int64_t index = begin % tasks_per_head;  // within sequence, after the skip below
    int64_t sequence = 0;
    while (index >= TasksOf(args, sequence, tokens_per_task)) {
      index -= TasksOf(args, sequence++, tokens_per_task);
    }
    for (int64_t i = begin; i < end; ++i) {
      while (index == TasksOf(args, sequence, tokens_per_task)) {
        index = 0;
        if (++sequence == args.num_sequences) {
          sequence = 0;
          ++kv_head;
        }
      }
      const int64_t first = args.seq_start[sequence] + index * tokens_per_task;
      const int64_t last = std::min<int64_t>(first + tokens_per_task, args.seq_start[sequence + 1]);
      variant.fn(args, {sequence, kv_head, first, last}, scratch + worker * bytes);
      ++index;
    }
  });
}

void Attention(const AttentionArgs& args, KernelContext& ctx) {
  static const Variant<AttentionFn>& variant = PickVariant(AttentionVariants(), MaxIsa());
  AttentionWith(variant, args, ctx);
}

// A tile of keys, one of values, and per query row its accumulator, scaled query and tile of
// scores.
size_t AttentionScratchBytes(const AttentionArgs& args) {
  const int64_t head_dim = (args.cache.head_dim + 15) / 16 * 16;
  const int64_t group = args.num_heads / args.cache.num_kv_heads;
  const int64_t rows = TokensPerTask(args) * group;
  return sizeof(float) *
         (2 * kAttentionTile * head_dim + rows * (2 * head_dim + kAttentionTile + 16));
}

}  // namespace oneai::kernels
