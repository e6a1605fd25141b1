// One layer's paged key and value cache, as kernels see it.
#pragma once

#include <cstdint>

#include "kernels/cpu/bfloat16.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

//   k, v  [num_blocks, block_tokens, num_kv_heads, head_dim] of `dtype`, blocks `block_stride`
//   elements
//         apart (at least block_tokens * num_kv_heads * head_dim; more when layers share a block)
struct KvCacheView {
  void* k = nullptr;
  void* v = nullptr;
  Dtype dtype = Dtype::kBFloat16;
  int64_t block_stride = 0;
  int64_t block_tokens = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
};

// Scatters new rows into the cache, rounding to nearest even when the cache is bf16.
//   k, v  [num_tokens, num_kv_heads, head_dim] float32, tokens `token_stride` elements apart
//   slot  [num_tokens] int64: block * block_tokens + offset in the block; negative: skip the token
struct WriteKvArgs {
  const float* k = nullptr;
  const float* v = nullptr;
  int64_t token_stride = 0;
  const int64_t* slot = nullptr;
  int64_t num_tokens = 0;
  KvCacheView cache;
};
void WriteKv(const WriteKvArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
