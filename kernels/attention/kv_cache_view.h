// One layer's paged key and value cache, as kernels see it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/variant.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// How a cached key or value is stored. kInt8: a signed byte in [-127, 127] times a float32 scale
// per token and KV head (the row's largest magnitude / 127).
enum class KvCacheFormat { kBf16, kF32, kInt8 };

// k and v point into block 0; block b lies `block_stride` bytes times b behind it. Within a block
// the keys (and likewise the values) of the heads follow each other, so that one head's are
// contiguous:
//   [num_kv_heads] of { [block_tokens * head_dim] elements, kInt8: [block_tokens] float32 scales }
// The elements are ordered for the units that multiply them. With w = KvTileTokens():
//   keys    [block_tokens / w][head_dim / 2][w tokens][2]: a transposed tile of w tokens, two dims
//           next to each other (what vdpbf16ps and the AMX tiles take as they are)
//   values  [block_tokens / 2][head_dim][2 tokens], or [block_tokens][head_dim] when w is 1
// head_dim is even. Every index is given by the functions below.
struct KvCacheView {
  void* k = nullptr;
  void* v = nullptr;
  KvCacheFormat format = KvCacheFormat::kBf16;
  int64_t block_stride = 0;
  int64_t block_tokens = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
};

inline constexpr int64_t kKvTileTokensMax = 16;

// The largest power of two up to 16 that divides block_tokens.
constexpr int64_t KvTileTokens(int64_t block_tokens) {
  const int64_t power = block_tokens & -block_tokens;
  return power < kKvTileTokensMax ? power : kKvTileTokensMax;
}

constexpr int64_t KvElementBytes(KvCacheFormat format) {
  return format == KvCacheFormat::kInt8 ? 1 : format == KvCacheFormat::kBf16 ? 2 : 4;
}

// Bytes of one head's keys (or values) in one block, scales included.
constexpr int64_t KvHeadBytes(KvCacheFormat format, int64_t block_tokens, int64_t head_dim) {
  const int64_t elements = block_tokens * head_dim * KvElementBytes(format);
  return elements +
         (format == KvCacheFormat::kInt8 ? block_tokens * int64_t{sizeof(float)} : int64_t{0});
}

// Index among one head's keys of dim `i` of the block's token `t`.
constexpr int64_t KvKeyIndex(const KvCacheView& c, int64_t t, int64_t i) {
  const int64_t w = KvTileTokens(c.block_tokens);
  return t / w * w * c.head_dim + i / 2 * 2 * w + t % w * 2 + i % 2;
}

// The same among its values.
constexpr int64_t KvValueIndex(const KvCacheView& c, int64_t t, int64_t i) {
  if (c.block_tokens % 2 != 0) return t * c.head_dim + i;
  return t / 2 * 2 * c.head_dim + 2 * i + t % 2;
}

// Offset in bytes from k (or v) of a head's elements in a block, and of its scales (kInt8).
constexpr int64_t KvHeadOffset(const KvCacheView& c, int64_t block, int64_t kv_head) {
  return block * c.block_stride + kv_head * KvHeadBytes(c.format, c.block_tokens, c.head_dim);
}
constexpr int64_t KvScaleOffset(const KvCacheView& c, int64_t block, int64_t kv_head) {
  return KvHeadOffset(c, block, kv_head) + c.block_tokens * c.head_dim;
}

// Scatters new rows into the cache. kBf16 rounds to nearest even. kInt8 rounds x / scale to nearest
// even, so a finite element is off by at most scale / 2 = (largest magnitude of its row) / 254 (and
// a few float32 roundings); a row that holds infinity or NaN reads as NaN.
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

// Tokens [token_begin, token_end), on the calling thread; calls with different slots may run at
// once. Every variant gives the same bits.
using WriteKvFn = void (*)(const WriteKvArgs& args, int64_t token_begin, int64_t token_end);
absl::Span<const Variant<WriteKvFn>> WriteKvVariants();

}  // namespace oneai::kernels
