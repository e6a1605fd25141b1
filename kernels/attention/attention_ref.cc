// Defines "correct": one query and head at a time, two passes for the softmax, float64 sums. It is
// always given whole tasks.
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

// One head's keys or values of one position.
struct Row {
  const std::byte* elements;
  double scale;
  int64_t token;  // within the block
};

Row RowAt(const AttentionArgs& args, const void* plane, int64_t sequence, int64_t position,
          int64_t kv_head) {
  const KvCacheView& c = args.cache;
  const int64_t block =
      args.block_table[sequence * args.block_table_stride + position / c.block_tokens];
  const auto* base = static_cast<const std::byte*>(plane);
  Row row{base + KvHeadOffset(c, block, kv_head), 1.0, position % c.block_tokens};
  if (c.format == KvCacheFormat::kInt8) {
    float scale;
    std::memcpy(&scale,
                base + KvScaleOffset(c, block, kv_head) + row.token * int64_t{sizeof(scale)},
                sizeof(scale));
    row.scale = scale;
  }
  return row;
}

double Read(const Row& row, KvCacheFormat format, int64_t index) {
  switch (format) {
    case KvCacheFormat::kBf16:
      return ToFloat(reinterpret_cast<const BFloat16*>(row.elements)[index]);
    case KvCacheFormat::kF32:
      return reinterpret_cast<const float*>(row.elements)[index];
    case KvCacheFormat::kInt8:
      return row.scale * static_cast<int8_t>(row.elements[index]);
  }
  return 0;
}

double Score(const AttentionArgs& args, int64_t sequence, int64_t kv_head, const float* q,
             int64_t position) {
  const KvCacheView& c = args.cache;
  const Row row = RowAt(args, c.k, sequence, position, kv_head);
  double dot = 0;
  for (int64_t i = 0; i < c.head_dim; ++i) {
    dot += double{q[i]} * Read(row, c.format, KvKeyIndex(c, row.token, i));
  }
  return dot * args.scale;
}

void OneQuery(const AttentionArgs& args, const AttentionTask& task, int64_t token, int64_t head) {
  const KvCacheView& c = args.cache;
  const float* q = args.q + token * args.q_stride + head * c.head_dim;
  float* out = args.out + token * args.out_stride + head * c.head_dim;
  const int64_t last = QueryPosition(args, task.sequence, token);
  const int64_t first = FirstVisible(args, last);

  double max = -std::numeric_limits<double>::infinity();
  for (int64_t p = first; p <= last; ++p)
    max = std::fmax(max, Score(args, task.sequence, task.kv_head, q, p));
  double total = 0;
  double sum[kAttentionHeadDimMax] = {};
  for (int64_t p = first; p <= last; ++p) {
    const double weight = std::exp(Score(args, task.sequence, task.kv_head, q, p) - max);
    const Row row = RowAt(args, c.v, task.sequence, p, task.kv_head);
    total += weight;
    for (int64_t i = 0; i < c.head_dim; ++i) {
      sum[i] += weight * Read(row, c.format, KvValueIndex(c, row.token, i));
    }
  }
  for (int64_t i = 0; i < c.head_dim; ++i) out[i] = static_cast<float>(sum[i] / total);
}

}  // namespace

void AttentionRef(const AttentionArgs& args, const AttentionTask& task, std::byte*) {
  const int64_t group = GroupSize(args);
  for (int64_t token = task.token_begin; token < task.token_end; ++token) {
    for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
      OneQuery(args, task, token, head);
    }
  }
}

}  // namespace oneai::kernels
