// Cuts the batch into tasks and gives each thread a run of them with about the same cost. Every
// output belongs to one task and a task's arithmetic does not depend on the others, so the cut is
// free to follow the batch and the number of threads.
#include "kernels/attention/attention.h"

#include <algorithm>

#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

int64_t GroupSize(const AttentionArgs& args) { return args.num_heads / args.cache.num_kv_heads; }

// Query tokens per task: enough to fill a query tile with the heads of one group.
int64_t TokensPerTask(const AttentionArgs& args) {
  return std::max<int64_t>(1, kAttentionQueryTile / GroupSize(args));
}

// KV heads per task of a sequence with `num_tokens` query rows: as many as fill a query tile, but
// not so many that threads go without work.
int64_t HeadsPerTask(const AttentionArgs& args, int64_t num_tokens, int num_threads) {
  const int64_t rows = std::min(num_tokens, TokensPerTask(args)) * GroupSize(args);
  const int64_t fill = std::max<int64_t>(1, kAttentionQueryTile / rows);
  const int64_t heads = args.cache.num_kv_heads;
  const int64_t share = args.num_sequences >= num_threads ? heads : heads / num_threads;
  return std::clamp<int64_t>(std::min(fill, share), 1, heads);
}

// Proportional to the time of a task: keys times (rows that use them + what loading them costs).
int64_t Cost(const AttentionArgs& args, const AttentionTask& task) {
  constexpr int64_t kLoadCostInRows = 8;
  const int64_t last = QueryPosition(args, task.sequence, task.token_end - 1);
  const int64_t first = FirstVisible(args, QueryPosition(args, task.sequence, task.token_begin));
  const int64_t rows = (task.token_end - task.token_begin) * GroupSize(args);
  return (last - first + 1) * (task.kv_head_end - task.kv_head_begin) * (rows + kLoadCostInRows);
}

// Calls visit(task) for all tasks, in an order that is the same in every thread.
template <typename Visit>
void ForEachTask(const AttentionArgs& args, int num_threads, Visit visit) {
  const int64_t tokens_per_task = TokensPerTask(args);
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const int64_t begin = args.seq_start[s], end = args.seq_start[s + 1];
    if (begin == end) continue;
    const int64_t heads = HeadsPerTask(args, end - begin, num_threads);
    for (int64_t head = 0; head < args.cache.num_kv_heads; head += heads) {
      const int64_t head_end = std::min(args.cache.num_kv_heads, head + heads);
      for (int64_t token = begin; token < end; token += tokens_per_task) {
        visit(AttentionTask{s, head, head_end, token, std::min(end, token + tokens_per_task)});
      }
    }
  }
}

}  // namespace

void AttentionWith(const Variant<AttentionFn>& variant, const AttentionArgs& args,
                   KernelContext& ctx) {
  const int num_threads = ctx.threads().num_threads();
  int64_t total_cost = 0;
  size_t scratch_bytes = 0;
  ForEachTask(args, num_threads, [&](const AttentionTask& task) {
    total_cost += Cost(args, task);
    scratch_bytes = std::max(scratch_bytes, AttentionScratchBytes(args, task));
  });
  if (total_cost == 0) return;
  std::byte* const scratch = ctx.Scratch(scratch_bytes * num_threads);
  ctx.threads().ParallelFor(num_threads, [&](int64_t begin, int64_t end, int worker) {
    const int64_t cost_begin = begin * total_cost / num_threads;
    const int64_t cost_end = end * total_cost / num_threads;
    int64_t cost = 0;  // of the tasks before this one
    ForEachTask(args, num_threads, [&](const AttentionTask& task) {
      if (cost >= cost_begin && cost < cost_end) {
        variant.fn(args, task, scratch + worker * scratch_bytes);
      }
      cost += Cost(args, task);
    });
  });
}

void Attention(const AttentionArgs& args, KernelContext& ctx) {
  static const Variant<AttentionFn>& variant = PickVariant(AttentionVariants(), MaxIsa());
  AttentionWith(variant, args, ctx);
}

// Per head a tile of keys or values; per query row its sums, query, tile of scores, maximum and
// total.
size_t AttentionScratchBytes(const AttentionArgs& args, const AttentionTask& task) {
  const int64_t head_dim = (args.cache.head_dim + 15) / 16 * 16;
  const int64_t heads = task.kv_head_end - task.kv_head_begin;
  const int64_t rows = heads * GroupSize(args) * (task.token_end - task.token_begin);
  const int64_t floats =
      heads * kAttentionTile * head_dim + rows * (2 * head_dim + kAttentionTile + 2);
  return sizeof(float) * ((floats + 15) / 16 * 16);
}

}  // namespace oneai::kernels
