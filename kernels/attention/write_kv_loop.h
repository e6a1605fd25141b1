// Idea: a token's row is converted in vectors and then laid out word by word: a head's keys as
// pairs of dims w tokens apart, its values next to those of the token's partner, both at once where
// both are there. The compiler makes the vectors, of the including file's width; `Isa` only makes
// each file's copy a function of its own, so that the linker cannot mix them. Bottleneck: the
// scattered stores of keys.
#pragma once

#include <cstring>
#include <limits>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {

template <CpuIsa Isa>
class WriteKvLoop {
 public:
  static void Run(const WriteKvArgs& args, int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t slot = args.slot[token];
      if (slot < 0) continue;
      const bool is_first = args.cache.block_tokens % 2 == 0 && slot % 2 == 0;
      const bool is_pair = is_first && token + 1 < end && args.slot[token + 1] == slot + 1;
      switch (args.cache.format) {
        case KvCacheFormat::kF32:
          WriteToken<float>(args, token, is_pair);
          break;
        case KvCacheFormat::kBf16:
          WriteToken<uint16_t>(args, token, is_pair);
          break;
        case KvCacheFormat::kInt8:
          WriteToken<int8_t>(args, token, is_pair);
          break;
      }
      if (is_pair) ++token;
    }
  }

 private:
  // One row in the cache's format, and its scale.
  template <typename Element>
  struct Row {
    alignas(64) Element elements[kAttentionHeadDimMax];
    float scale;
  };

  // A token, or with `is_pair` it and the next one, which share a pair of values.
  template <typename Element>
  static void WriteToken(const WriteKvArgs& args, int64_t token, bool is_pair) {
    const KvCacheView& c = args.cache;
    Row<Element> row, partner;
    for (int64_t head = 0; head < c.num_kv_heads; ++head) {
      for (int64_t t = token; t <= token + (is_pair ? 1 : 0); ++t) {
        Convert(args.k + t * args.token_stride + head * c.head_dim, c.head_dim, row);
        PutKeys(c, args.slot[t], head, row);
      }
      const float* v = args.v + token * args.token_stride + head * c.head_dim;
      Convert(v, c.head_dim, row);
      if (is_pair) {
        Convert(v + args.token_stride, c.head_dim, partner);
        PutPair(c, args.slot[token], head, row, partner);
      } else {
        PutValues(c, args.slot[token], head, row);
      }
    }
  }

  static void Convert(const float* from, int64_t count, Row<float>& to) {
    std::memcpy(to.elements, from, static_cast<size_t>(count) * sizeof(float));
  }

  // ToBFloat16() without its branch.
  static void Convert(const float* from, int64_t count, Row<uint16_t>& to) {
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t bits = __builtin_bit_cast(uint32_t, from[i]);
      const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
      const uint32_t quiet_nan = (bits >> 16) | 0x0040u;
      const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
      to.elements[i] = static_cast<uint16_t>(is_nan ? quiet_nan : rounded);
    }
  }

  // Magnitudes are ordered as their bits are, and infinities and NaNs are the largest.
  static void Convert(const float* from, int64_t count, Row<int8_t>& to) {
    uint32_t top = 0;
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t bits = __builtin_bit_cast(uint32_t, from[i]) & 0x7fffffffu;
      top = bits > top ? bits : top;
    }
    const bool is_finite = top < 0x7f800000u;
    const float magnitude = __builtin_bit_cast(float, top);
    to.scale = is_finite ? magnitude / 127.0f : std::numeric_limits<float>::quiet_NaN();
    if (!(to.scale > 0)) {
      std::memset(to.elements, 0, static_cast<size_t>(count));
      return;
    }
    const float inverse = 127.0f / magnitude;
    for (int64_t i = 0; i < count; ++i) {
      to.elements[i] =
          static_cast<int8_t>(static_cast<int32_t>(__builtin_rintf(from[i] * inverse)));
    }
  }

  template <typename Element>
  static void PutKeys(const KvCacheView& c, int64_t slot, int64_t head, const Row<Element>& row) {
    struct Pair {
      Element dims[2];
    };
    const int64_t block = slot / c.block_tokens, t = slot % c.block_tokens;
    const int64_t stride = KvTileTokens(c.block_tokens);
    std::byte* plane = static_cast<std::byte*>(c.k);
    auto* to =
        reinterpret_cast<Element*>(plane + KvHeadOffset(c, block, head)) + KvKeyIndex(c, t, 0);
    for (int64_t i = 0; i < c.head_dim; i += 2, to += 2 * stride) {
      std::memcpy(to, row.elements + i, sizeof(Pair));
    }
    PutScale(plane, c, block, head, t, row);
  }

  template <typename Element>
  static void PutValues(const KvCacheView& c, int64_t slot, int64_t head, const Row<Element>& row) {
    const int64_t block = slot / c.block_tokens, t = slot % c.block_tokens;
    const int64_t stride = c.block_tokens % 2 == 0 ? 2 : 1;
    std::byte* plane = static_cast<std::byte*>(c.v);
    auto* to =
        reinterpret_cast<Element*>(plane + KvHeadOffset(c, block, head)) + KvValueIndex(c, t, 0);
    for (int64_t i = 0; i < c.head_dim; ++i) to[i * stride] = row.elements[i];
    PutScale(plane, c, block, head, t, row);
  }

  template <typename Element>
  static void PutPair(const KvCacheView& c, int64_t slot, int64_t head, const Row<Element>& even,
                      const Row<Element>& odd) {
    const int64_t block = slot / c.block_tokens, t = slot % c.block_tokens;
    std::byte* plane = static_cast<std::byte*>(c.v);
    auto* to =
        reinterpret_cast<Element*>(plane + KvHeadOffset(c, block, head)) + KvValueIndex(c, t, 0);
    for (int64_t i = 0; i < c.head_dim; ++i) {
      to[2 * i] = even.elements[i];
      to[2 * i + 1] = odd.elements[i];
    }
    PutScale(plane, c, block, head, t, even);
    PutScale(plane, c, block, head, t + 1, odd);
  }

  template <typename Element>
  static void PutScale(std::byte*, const KvCacheView&, int64_t, int64_t, int64_t,
                       const Row<Element>&) {}
  static void PutScale(std::byte* plane, const KvCacheView& c, int64_t block, int64_t head,
                       int64_t t, const Row<int8_t>& row) {
    std::memcpy(plane + KvScaleOffset(c, block, head) + t * int64_t{sizeof(float)}, &row.scale,
                sizeof(float));
  }
};

}  // namespace oneai::kernels
