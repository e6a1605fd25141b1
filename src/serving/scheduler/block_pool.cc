#include "serving/scheduler/block_pool.h"

#include "absl/strings/str_cat.h"

namespace oneai::serving {

BlockPool::BlockPool(int64_t num_blocks, int64_t block_tokens)
    : num_blocks_(num_blocks), block_tokens_(block_tokens) {
  free_.reserve(num_blocks);
  for (int64_t i = num_blocks; i-- > 0;) free_.push_back(static_cast<BlockId>(i));
}

absl::Status BlockPool::Grow(SequenceId sequence, int64_t num_tokens) {
  std::vector<BlockId>& table = tables_[sequence];
  const int64_t missing = BlocksFor(num_tokens, block_tokens_) - static_cast<int64_t>(table.size());
  if (missing > num_free()) {
    if (table.empty()) tables_.erase(sequence);
    return absl::ResourceExhaustedError(absl::StrCat("KV block pool: ", missing, " blocks wanted, ",
                                                     num_free(), " of ", num_blocks_, " free"));
  }
  for (int64_t i = 0; i < missing; ++i) {
    table.push_back(free_.back());
    free_.pop_back();
  }
  return absl::OkStatus();
}

int64_t BlockPool::Release(SequenceId sequence) {
  const auto it = tables_.find(sequence);
  if (it == tables_.end()) return 0;
  const int64_t num_released = static_cast<int64_t>(it->second.size());
  free_.insert(free_.end(), it->second.rbegin(), it->second.rend());
  tables_.erase(it);
  return num_released;
}

absl::Span<const BlockId> BlockPool::BlockTable(SequenceId sequence) const {
  const auto it = tables_.find(sequence);
  if (it == tables_.end()) return {};
  return it->second;
}

}  // namespace oneai::serving
