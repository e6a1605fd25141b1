// The reference, and the choice of a variant.
#include <cmath>
#include <cstring>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

// Copies head_dim / 2 pairs of `Element` to every `stride`th pair, or single elements `stride`
// apart.
template <typename Element>
void ScatterPairs(const Element* from, int64_t count, int64_t stride, Element* to) {
  for (int64_t i = 0; i < count; i += 2, to += 2 * stride) {
    to[0] = from[i];
    to[1] = from[i + 1];
  }
}
template <typename Element>
void ScatterOne(const Element* from, int64_t count, int64_t stride, Element* to) {
  for (int64_t i = 0; i < count; ++i) to[i * stride] = from[i];
}

enum class Part { kKeys, kValues };

template <typename Element>
void Place(const KvCacheView& c, Part part, int64_t t, const Element* row, std::byte* head) {
  Element* to = reinterpret_cast<Element*>(head);
  if (part == Part::kKeys) {
    ScatterPairs(row, c.head_dim, KvTileTokens(c.block_tokens), to + KvKeyIndex(c, t, 0));
  } else {
    ScatterOne(row, c.head_dim, c.block_tokens % 2 == 0 ? 2 : 1, to + KvValueIndex(c, t, 0));
  }
}

// Adding and subtracting 1.5 * 2^23 rounds to an integer, ties to even.
float RoundToInteger(float x) {
  constexpr float kShift = 12582912.0f;
  return (x + kShift) - kShift;
}

// Returns the scale; 0 for a row of zeros, infinity or NaN for a row that holds one.
float Quantize(const float* row, int64_t count, int8_t* to) {
  float magnitude = 0, finite = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float x = std::fabs(row[i]);
    if (x > magnitude) magnitude = x;
    finite += row[i] * 0.0f;  // NaN unless every element is finite
  }
  const float scale = magnitude / 127.0f + finite;
  const float inverse = scale > 0 ? 127.0f / magnitude : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    to[i] = scale > 0 ? static_cast<int8_t>(RoundToInteger(row[i] * inverse)) : int8_t{0};
  }
  return scale;
}

void WriteHead(const KvCacheView& c, Part part, int64_t slot, int64_t kv_head, const float* row) {
  auto* plane = static_cast<std::byte*>(part == Part::kKeys ? c.k : c.v);
  const int64_t block = slot / c.block_tokens, t = slot % c.block_tokens;
  std::byte* head = plane + KvHeadOffset(c, block, kv_head);
  switch (c.format) {
    case KvCacheFormat::kF32:
      Place(c, part, t, row, head);
      break;
    case KvCacheFormat::kBf16: {
      BFloat16 rounded[kAttentionHeadDimMax];
      for (int64_t i = 0; i < c.head_dim; ++i) rounded[i] = ToBFloat16(row[i]);
      Place(c, part, t, rounded, head);
      break;
    }
    case KvCacheFormat::kInt8: {
      int8_t quantized[kAttentionHeadDimMax];
      const float scale = Quantize(row, c.head_dim, quantized);
      Place(c, part, t, quantized, head);
      std::memcpy(plane + KvScaleOffset(c, block, kv_head) + t * int64_t{sizeof(scale)}, &scale,
                  sizeof(scale));
      break;
    }
  }
}

}  // namespace

void WriteKvRef(const WriteKvArgs& args, int64_t begin, int64_t end) {
  const KvCacheView& c = args.cache;
  for (int64_t token = begin; token < end; ++token) {
    if (args.slot[token] < 0) continue;
    for (int64_t head = 0; head < c.num_kv_heads; ++head) {
      const int64_t at = token * args.token_stride + head * c.head_dim;
      WriteHead(c, Part::kKeys, args.slot[token], head, args.k + at);
      WriteHead(c, Part::kValues, args.slot[token], head, args.v + at);
    }
  }
}

void WriteKv(const WriteKvArgs& args, KernelContext& ctx) {
  static const Variant<WriteKvFn>& variant = PickVariant(WriteKvVariants(), MaxIsa());
  ctx.threads().ParallelFor(args.num_tokens,
                            [&](int64_t begin, int64_t end, int) { variant.fn(args, begin, end); });
}

}  // namespace oneai::kernels
