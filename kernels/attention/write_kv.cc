// A scatter bound by memory: one variant.
#include <cstring>

#include "kernels/attention/kv_cache_view.h"

namespace oneai::kernels {
namespace {

void WriteRow(const float* from, void* cache, Dtype dtype, int64_t offset, int64_t count) {
  if (dtype == Dtype::kFloat32) {
    std::memcpy(static_cast<float*>(cache) + offset, from, count * sizeof(float));
    return;
  }
  BFloat16* to = static_cast<BFloat16*>(cache) + offset;
  for (int64_t i = 0; i < count; ++i) to[i] = ToBFloat16(from[i]);
}

}  // namespace

void WriteKv(const WriteKvArgs& args, KernelContext& ctx) {
  const KvCacheView& cache = args.cache;
  const int64_t row = cache.num_kv_heads * cache.head_dim;
  ctx.threads().ParallelFor(args.num_tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t slot = args.slot[token];
      if (slot < 0) continue;
      const int64_t offset =
          slot / cache.block_tokens * cache.block_stride + slot % cache.block_tokens * row;
      WriteRow(args.k + token * args.token_stride, cache.k, cache.dtype, offset, row);
      WriteRow(args.v + token * args.token_stride, cache.v, cache.dtype, offset, row);
    }
  });
}

}  // namespace oneai::kernels
