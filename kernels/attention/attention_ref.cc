// Defines "correct": one query and head at a time, two passes for the softmax, float64 sums.
#include <cmath>
#include <limits>

#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

float ReadCache(const void* cache, Dtype dtype, int64_t index) {
  return dtype == Dtype::kFloat32 ? static_cast<const float*>(cache)[index]
                                  : ToFloat(static_cast<const BFloat16*>(cache)[index]);
}

double Score(const AttentionArgs& args, int64_t sequence, int64_t kv_head, const float* q,
             int64_t position) {
  const int64_t offset = KvOffset(args, sequence, position, kv_head);
  double dot = 0;
  for (int64_t i = 0; i < args.cache.head_dim; ++i) {
    dot += double{q[i]} * ReadCache(args.cache.k, args.cache.dtype, offset + i);
  }
  return dot * args.scale;
}

void OneQuery(const AttentionArgs& args, int64_t sequence, int64_t token, int64_t head) {
  const int64_t kv_head = head / (args.num_heads / args.cache.num_kv_heads);
  const int64_t head_dim = args.cache.head_dim;
  const float* q = args.q + token * args.q_stride + head * head_dim;
  float* out = args.out + token * args.out_stride + head * head_dim;
  const int64_t last = QueryPosition(args, sequence, token);
  const int64_t first = FirstVisible(args, last);

  double max = -std::numeric_limits<double>::infinity();
  for (int64_t p = first; p <= last; ++p)
    max = std::fmax(max, Score(args, sequence, kv_head, q, p));
  double total = 0;
  double sum[kAttentionHeadDimMax] = {};
  for (int64_t p = first; p <= last; ++p) {
    const double weight = std::exp(Score(args, sequence, kv_head, q, p) - max);
    const int64_t offset = KvOffset(args, sequence, p, kv_head);
    total += weight;
    for (int64_t i = 0; i < head_dim; ++i) {
      sum[i] += weight * ReadCache(args.cache.v, args.cache.dtype, offset + i);
    }
  }
  for (int64_t i = 0; i < head_dim; ++i) out[i] = static_cast<float>(sum[i] / total);
}

}  // namespace

void AttentionRef(const AttentionArgs& args, const AttentionTask& task, std::byte*) {
  const int64_t group = args.num_heads / args.cache.num_kv_heads;
  for (int64_t token = task.token_begin; token < task.token_end; ++token) {
    for (int64_t head = task.kv_head_begin * group; head < task.kv_head_end * group; ++head) {
      OneQuery(args, task.sequence, token, head);
    }
  }
}

}  // namespace oneai::kernels
