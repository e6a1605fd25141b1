#include "models/runtime/paged_kv_cache.h"

#include <sys/mman.h>

#include <limits>

#include "absl/strings/str_cat.h"

namespace oneai::models {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

// Bytes of the keys (or values) of one layer in one block.
int64_t PlaneBytes(const ModelConfig& config, int64_t block_tokens, KvCacheFormat format) {
  return config.num_kv_heads * kernels::KvHeadBytes(format, block_tokens, config.head_dim);
}

}  // namespace

void PagedKvCache::Unmap::operator()(std::byte* p) const { munmap(p, bytes); }

int64_t PagedKvCache::BlockBytes(const ModelConfig& config, int64_t block_tokens,
                                 KvCacheFormat format) {
  return 2 * config.num_kv_layers() * PlaneBytes(config, block_tokens, format);
}

absl::StatusOr<PagedKvCache> PagedKvCache::Create(const ModelConfig& config, int64_t num_blocks,
                                                  int64_t block_tokens, KvCacheFormat format) {
  if (num_blocks < 1 || block_tokens < 1 || num_blocks > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a KV cache needs at least one block of one token, not ", num_blocks,
                     " blocks of ", block_tokens));
  }
  if (config.num_kv_layers() < 1) {
    return absl::InvalidArgumentError("a KV cache was asked for a model without attention layers");
  }
  if (config.head_dim % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a KV cache stores pairs of dims, and head_dim is ", config.head_dim, ", which is odd"));
  }
  PagedKvCache cache;
  cache.num_blocks_ = num_blocks;
  cache.block_bytes_ = BlockBytes(config, block_tokens, format);
  if (cache.block_bytes_ > std::numeric_limits<int64_t>::max() / 2 / num_blocks) {
    return absl::InvalidArgumentError(absl::StrCat("a KV cache of ", num_blocks, " blocks of ",
                                                   block_tokens,
                                                   " tokens exceeds the address space"));
  }
  const int64_t bytes = cache.block_bytes_ * num_blocks;
  void* mapped = mmap(nullptr, static_cast<size_t>(bytes + kHugePage), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for a KV cache of ", bytes,
                                                     " bytes: ask for fewer than ", num_blocks,
                                                     " blocks"));
  }
  cache.mapped_ = {static_cast<std::byte*>(mapped), Unmap{static_cast<size_t>(bytes + kHugePage)}};
  // On a huge page's boundary, so that all of them can be huge.
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  cache.data_ = cache.mapped_.get() + (kHugePage - address % kHugePage) % kHugePage;
  madvise(cache.data_, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // a wish: refusal costs speed
  const int64_t plane_bytes = PlaneBytes(config, block_tokens, format);
  for (int64_t layer = 0; layer < config.num_kv_layers(); ++layer) {
    std::byte* k = cache.data_ + 2 * layer * plane_bytes;
    cache.layers_.push_back({.k = k,
                             .v = k + plane_bytes,
                             .format = format,
                             .block_stride = cache.block_bytes_,
                             .block_tokens = block_tokens,
                             .num_kv_heads = config.num_kv_heads,
                             .head_dim = config.head_dim});
  }
  return cache;
}

absl::Span<std::byte> PagedKvCache::Block(int64_t block) {
  return absl::MakeSpan(data_ + block * block_bytes_, static_cast<size_t>(block_bytes_));
}

}  // namespace oneai::models
