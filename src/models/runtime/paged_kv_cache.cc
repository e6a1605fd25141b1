#include "models/runtime/paged_kv_cache.h"

#include <cstdlib>
#include <limits>

#include "absl/strings/str_cat.h"

namespace oneai::models {
namespace {

constexpr int64_t kAlignment = 64;

kernels::Dtype KernelDtype(ComputeDtype dtype) {
  return dtype == ComputeDtype::kBf16 ? kernels::Dtype::kBFloat16 : kernels::Dtype::kFloat32;
}

// Elements of the keys (or values) of one layer in one block.
int64_t PlaneElements(const ModelConfig& config, int64_t block_tokens) {
  return block_tokens * config.num_kv_heads * config.head_dim;
}

}  // namespace

void PagedKvCache::Free::operator()(std::byte* p) const { std::free(p); }

int64_t PagedKvCache::BlockBytes(const ModelConfig& config, int64_t block_tokens,
                                 ComputeDtype dtype) {
  return 2 * config.num_layers * PlaneElements(config, block_tokens) *
         kernels::DtypeBytes(KernelDtype(dtype));
}

absl::StatusOr<PagedKvCache> PagedKvCache::Create(const ModelConfig& config, int64_t num_blocks,
                                                  int64_t block_tokens, ComputeDtype dtype) {
  if (num_blocks < 1 || block_tokens < 1 || num_blocks > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV cache needs at least one block of one token, not ", num_blocks,
                     " blocks of ", block_tokens));
  }
  PagedKvCache cache;
  cache.num_blocks_ = num_blocks;
  cache.block_bytes_ = BlockBytes(config, block_tokens, dtype);
  if (cache.block_bytes_ > std::numeric_limits<int64_t>::max() / 2 / num_blocks) {
    return absl::InvalidArgumentError(absl::StrCat("a KV cache of ", num_blocks, " blocks of ",
                                                   block_tokens,
                                                   " tokens exceeds the address space"));
  }
  const int64_t bytes =
      (cache.block_bytes_ * num_blocks + kAlignment - 1) / kAlignment * kAlignment;
  cache.data_.reset(
      static_cast<std::byte*>(std::aligned_alloc(kAlignment, static_cast<size_t>(bytes))));
  if (cache.data_ == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for a KV cache of ", bytes,
                                                     " bytes: ask for fewer than ", num_blocks,
                                                     " blocks"));
  }
  const int64_t plane = PlaneElements(config, block_tokens);
  const int64_t plane_bytes = plane * kernels::DtypeBytes(KernelDtype(dtype));
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    std::byte* k = cache.data_.get() + 2 * layer * plane_bytes;
    cache.layers_.push_back({.k = k,
                             .v = k + plane_bytes,
                             .dtype = KernelDtype(dtype),
                             .block_stride = 2 * config.num_layers * plane,
                             .block_tokens = block_tokens,
                             .num_kv_heads = config.num_kv_heads,
                             .head_dim = config.head_dim});
  }
  return cache;
}

absl::Span<std::byte> PagedKvCache::Block(int64_t block) {
  return absl::MakeSpan(data_.get() + block * block_bytes_, static_cast<size_t>(block_bytes_));
}

}  // namespace oneai::models
