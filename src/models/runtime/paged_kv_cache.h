// File: models/runtime/paged_kv_cache.h
//
// The memory behind attention: keys and values of all layers, in blocks of a few tokens that a
// sequence's block table strings together (arXiv:2309.06180). It only holds memory; who owns which
// block is the caller's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/attention/kv_cache_view.h"
#include "models/config/model_config.h"

namespace oneai::models {

// Arithmetic of a CPU model. kBf16 rounds matrix operands (and, unless said otherwise, cached keys
// and values) to bfloat16 and accumulates in float32.
enum class ComputeDtype { kBf16, kF32 };

// kBf16, kF32, or kInt8 (half the memory and traffic of bf16; kernels/attention/kv_cache_view.h has
// the error bound).
using KvCacheFormat = kernels::KvCacheFormat;

// The format that goes with an arithmetic when nobody asks for another.
constexpr KvCacheFormat DefaultKvCacheFormat(ComputeDtype dtype) {
  return dtype == ComputeDtype::kBf16 ? KvCacheFormat::kBf16 : KvCacheFormat::kF32;
}

// A block holds `block_tokens` tokens of every layer, keys and values, contiguously:
//   [num_blocks][layers that keep keys and values][k, v][num_kv_heads][what kernels/attention/kv_cache_view.h says]
// so that a block can be copied, sent or freed as one piece.
class PagedKvCache {
 public:
  // Bytes of one block.
  static int64_t BlockBytes(const ModelConfig& config, int64_t block_tokens, KvCacheFormat format);
  static int64_t BlockBytes(const ModelConfig& config, int64_t block_tokens, ComputeDtype dtype) {
    return BlockBytes(config, block_tokens, DefaultKvCacheFormat(dtype));
  }

  // Reserves the memory, on huge pages where the system gives them; the system hands out pages as
  // blocks are first written. InvalidArgument: num_blocks or block_tokens below 1, or an odd
  // head_dim. ResourceExhausted: no memory, saying how much was asked for.
  static absl::StatusOr<PagedKvCache> Create(const ModelConfig& config, int64_t num_blocks,
                                             int64_t block_tokens, KvCacheFormat format);
  static absl::StatusOr<PagedKvCache> Create(const ModelConfig& config, int64_t num_blocks,
                                             int64_t block_tokens, ComputeDtype dtype) {
    return Create(config, num_blocks, block_tokens, DefaultKvCacheFormat(dtype));
  }

  int64_t num_blocks() const { return num_blocks_; }
  int64_t block_tokens() const { return layers_[0].block_tokens; }
  KvCacheFormat format() const { return layers_[0].format; }
  // Block `block` as bytes; the span borrows the cache.
  absl::Span<std::byte> Block(int64_t block);
  // One view per layer, borrowing the cache; valid while it lives, also after it is moved.
  absl::Span<const kernels::KvCacheView> layers() const { return layers_; }

 private:
  struct Unmap {
    size_t bytes;
    void operator()(std::byte* p) const;
  };
  PagedKvCache() = default;

  int64_t num_blocks_ = 0;
  int64_t block_bytes_ = 0;
  std::unique_ptr<std::byte[], Unmap> mapped_{nullptr, Unmap{0}};
  std::vector<kernels::KvCacheView> layers_;
  std::byte* data_ = nullptr;  // the first block, in mapped_
};

}  // namespace oneai::models
