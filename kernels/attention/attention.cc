// Cuts the batch into tasks and gives each thread a run of them with about the same cost. Every
// output belongs to one task and a task's arithmetic does not depend on the others, so the cut is
// free to follow the batch and the number of threads.
#include "kernels/attention/attention.h"

#include <algorithm>

#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

// Below this many tasks per thread the shares become uneven, and contexts are cut into chunks.
constexpr int64_t kTasksPerThreadMin = 4;

// Query tokens per task: enough to fill the query rows with the heads of one group.
int64_t TokensPerTask(const AttentionArgs& args) {
  return std::max<int64_t>(1, kAttentionQueryRows / GroupSize(args));
}

int64_t RowsOf(const AttentionArgs& args, const AttentionTask& task) {
  return (task.token_end - task.token_begin) * GroupSize(args);
}

int64_t PartialFloatsOf(const AttentionArgs& args, const AttentionTask& whole) {
  return RowsOf(args, whole) * (whole.chunk_end - whole.chunk_begin) * AttentionPartialFloats(args);
}

// Proportional to the time of a task: keys times (rows that use them + what loading them costs).
int64_t Cost(const AttentionArgs& args, const AttentionTask& task) {
  constexpr int64_t kLoadCostInRows = 8;
  const int64_t last = QueryPosition(args, task.sequence, task.token_end - 1);
  const int64_t first = FirstVisible(args, QueryPosition(args, task.sequence, task.token_begin));
  const int64_t begin = std::max(first, task.chunk_begin * kAttentionChunk);
  const int64_t end = std::min(last + 1, task.chunk_end * kAttentionChunk);
  return (end - begin) * (RowsOf(args, task) + kLoadCostInRows);
}

// Calls visit(task) for the whole tasks, in an order that is the same in every thread.
template <typename Visit>
void ForEachWhole(const AttentionArgs& args, Visit visit) {
  const int64_t tokens_per_task = TokensPerTask(args);
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const int64_t begin = args.seq_start[s], end = args.seq_start[s + 1];
    for (int64_t head = 0; head < args.cache.num_kv_heads; ++head) {
      for (int64_t token = begin; token < end; token += tokens_per_task) {
        AttentionTask task{.sequence = s,
                           .kv_head = head,
                           .token_begin = token,
                           .token_end = std::min(end, token + tokens_per_task)};
        task.chunk_begin = FirstChunk(args, task);
        task.chunk_end = EndChunk(args, task);
        visit(task);
      }
    }
  }
}

// The same, or with `partials` a task for every chunk of every whole task.
template <typename Visit>
void ForEachTask(const AttentionArgs& args, float* partials, Visit visit) {
  ForEachWhole(args, [&](const AttentionTask& whole) {
    if (partials == nullptr) return visit(whole);
    AttentionTask task = whole;
    task.step = AttentionStep::kChunks;
    task.partials = partials;
    for (int64_t chunk = whole.chunk_begin; chunk < whole.chunk_end; ++chunk) {
      task.chunk_begin = chunk;
      task.chunk_end = chunk + 1;
      visit(task);
    }
    partials += PartialFloatsOf(args, whole);
  });
}

struct Load {
  int64_t tasks = 0;
  int64_t chunks_max = 0;
  int64_t cost = 0;
  int64_t partial_floats = 0;
};

Load Survey(const AttentionArgs& args) {
  Load load;
  ForEachWhole(args, [&](const AttentionTask& task) {
    ++load.tasks;
    load.chunks_max = std::max(load.chunks_max, task.chunk_end - task.chunk_begin);
    load.cost += Cost(args, task);
    load.partial_floats += PartialFloatsOf(args, task);
  });
  return load;
}

bool WantsSplit(const Load& load, int num_threads, AttentionSplit split) {
  if (split != AttentionSplit::kByLoad) return split == AttentionSplit::kAlways;
  return num_threads > 1 && load.chunks_max > 1 && load.tasks < kTasksPerThreadMin * num_threads;
}

}  // namespace

void AttentionWith(const Variant<AttentionFn>& variant, const AttentionArgs& args,
                   KernelContext& ctx, AttentionSplit split) {
  const Load load = Survey(args);
  if (load.tasks == 0) return;
  const int num_threads = ctx.threads().num_threads();
  const bool is_split = variant.isa != CpuIsa::kReference && WantsSplit(load, num_threads, split);
  const size_t thread_bytes = AttentionScratchBytes(args);
  std::byte* const scratch = ctx.Scratch(thread_bytes * num_threads +
                                         (is_split ? load.partial_floats * sizeof(float) : 0));
  float* const partials =
      is_split ? reinterpret_cast<float*>(scratch + thread_bytes * num_threads) : nullptr;
  ctx.threads().ParallelFor(num_threads, [&](int64_t begin, int64_t end, int worker) {
    const int64_t cost_begin = begin * load.cost / num_threads;
    const int64_t cost_end = end * load.cost / num_threads;
    int64_t cost = 0;  // of the tasks before this one
    ForEachTask(args, partials, [&](const AttentionTask& task) {
      if (cost >= cost_begin && cost < cost_end) {
        variant.fn(args, task, scratch + worker * thread_bytes);
      }
      cost += Cost(args, task);
    });
  });
  if (!is_split) return;
  ctx.threads().ParallelFor(load.tasks, [&](int64_t begin, int64_t end, int worker) {
    int64_t index = 0;
    float* at = partials;
    ForEachWhole(args, [&](AttentionTask task) {
      task.step = AttentionStep::kMerge;
      task.partials = at;
      at += PartialFloatsOf(args, task);
      if (index >= begin && index < end) variant.fn(args, task, scratch + worker * thread_bytes);
      ++index;
    });
  });
}

void Attention(const AttentionArgs& args, KernelContext& ctx) {
  static const Variant<AttentionFn>& variant = PickVariant(AttentionVariants(), MaxIsa());
  AttentionWith(variant, args, ctx);
}

// Laid out by AttentionPass: a tile of keys or values and its scales; per query row the query, its
// sums, those of the chunks before, scores, weights, lanes of its total and a line of scalars.
size_t AttentionScratchBytes(const AttentionArgs& args) {
  const int64_t rows = TokensPerTask(args) * GroupSize(args);
  const int64_t dim = PaddedHeadDim(args);
  const int64_t floats =
      kAttentionTile * dim + 2 * kAttentionTile + rows * (3 * dim + 2 * kAttentionTile + 16 + 16);
  return sizeof(float) * floats;
}

// Sums, maximum and total, in whole cache lines.
int64_t AttentionPartialFloats(const AttentionArgs& args) { return PaddedHeadDim(args) + 16; }

}  // namespace oneai::kernels
