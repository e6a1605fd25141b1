#include "serving/scheduler/block_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai::serving {
namespace {

constexpr BlockId kRing = -1;  // idle_, as a neighbour

}  // namespace

BlockPool::BlockPool(int64_t num_blocks, int64_t block_tokens)
    : block_tokens_(block_tokens), blocks_(num_blocks) {
  idle_.older = idle_.newer = kRing;
  free_.reserve(num_blocks);
  for (int64_t i = num_blocks; i-- > 0;) free_.push_back(static_cast<BlockId>(i));
}

absl::Status BlockPool::Grow(SequenceId sequence, int64_t num_tokens) {
  std::vector<BlockId>& table = tables_[sequence];
  const int64_t missing = BlocksFor(num_tokens, block_tokens_) - static_cast<int64_t>(table.size());
  if (missing > num_free()) {
    if (table.empty()) tables_.erase(sequence);
    return absl::ResourceExhaustedError(absl::StrCat("KV block pool: ", missing, " blocks wanted, ",
                                                     num_free(), " of ", num_blocks(), " free"));
  }
  for (int64_t i = 0; i < missing; ++i) table.push_back(TakeFree());
  return absl::OkStatus();
}

int64_t BlockPool::Release(SequenceId sequence) {
  const auto it = tables_.find(sequence);
  if (it == tables_.end()) return 0;
  int64_t num_freed = 0;
  // The last block first, so that it is evicted first.
  for (auto block = it->second.rbegin(); block != it->second.rend(); ++block) {
    num_freed += Drop(*block);
  }
  tables_.erase(it);
  return num_freed;
}

absl::Span<const BlockId> BlockPool::BlockTable(SequenceId sequence) const {
  const auto it = tables_.find(sequence);
  if (it == tables_.end()) return {};
  return it->second;
}

int64_t BlockPool::NumShared(SequenceId sequence) const {
  const absl::Span<const BlockId> table = BlockTable(sequence);
  return std::count_if(table.begin(), table.end(),
                       [this](BlockId id) { return blocks_[id].num_holders > 1; });
}

PrefixMatch BlockPool::Find(absl::Span<const BlockHash> chain) const {
  PrefixMatch match;
  for (const BlockHash& hash : chain) {
    const auto it = cached_.find(hash);
    if (it == cached_.end()) break;
    ++match.num_blocks;
    match.num_held += blocks_[it->second].num_holders > 0;
  }
  return match;
}

int64_t BlockPool::Adopt(SequenceId sequence, absl::Span<const BlockHash> chain) {
  std::vector<BlockId> table;
  for (const BlockHash& hash : chain) {
    const auto it = cached_.find(hash);
    if (it == cached_.end()) break;
    Hold(it->second);
    table.push_back(it->second);
  }
  const int64_t num_blocks = static_cast<int64_t>(table.size());
  if (num_blocks > 0) tables_[sequence] = std::move(table);
  return num_blocks;
}

void BlockPool::Publish(SequenceId sequence, int64_t index, const BlockHash& hash) {
  BlockId& id = tables_.at(sequence).at(index);
  if (blocks_[id].published) return;
  const auto [it, is_new] = cached_.emplace(hash, id);
  if (is_new) {
    blocks_[id].published = true;
    blocks_[id].hash = hash;
    return;
  }
  Hold(it->second);
  Drop(std::exchange(id, it->second));
}

void BlockPool::OnEvict(std::function<void(BlockId, const BlockHash&)> observer) {
  on_evict_ = std::move(observer);
}

absl::StatusOr<std::optional<BlockCopy>> BlockPool::Fork(SequenceId parent, SequenceId child,
                                                         int64_t num_tokens) {
  const bool has_partial = num_tokens % block_tokens_ != 0;
  if (has_partial && num_free() == 0) {
    return absl::ResourceExhaustedError("KV block pool: no block is free for a copy");
  }
  std::vector<BlockId> table(BlockTable(parent).begin(),
                             BlockTable(parent).begin() + BlocksFor(num_tokens, block_tokens_));
  std::optional<BlockCopy> copy;
  if (has_partial) {
    const BlockId own = TakeFree();
    copy = BlockCopy{table.back(), own};
    table.pop_back();
    for (BlockId id : table) Hold(id);
    table.push_back(own);
  } else {
    for (BlockId id : table) Hold(id);
  }
  tables_[child] = std::move(table);
  return copy;
}

void BlockPool::PushIdle(BlockId id) {
  Block& block = blocks_[id];
  block.older = idle_.older;
  block.newer = kRing;
  (block.older == kRing ? idle_ : blocks_[block.older]).newer = id;
  idle_.older = id;
  ++num_idle_;
}

void BlockPool::RemoveIdle(BlockId id) {
  const Block& block = blocks_[id];
  (block.older == kRing ? idle_ : blocks_[block.older]).newer = block.newer;
  (block.newer == kRing ? idle_ : blocks_[block.newer]).older = block.older;
  --num_idle_;
}

// There is one. Held by the caller from now on.
BlockId BlockPool::TakeFree() {
  BlockId id;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else {
    id = idle_.newer;
    RemoveIdle(id);
    Block& block = blocks_[id];
    if (on_evict_) on_evict_(id, block.hash);
    cached_.erase(block.hash);
    block.published = false;
  }
  blocks_[id].num_holders = 1;
  return id;
}

void BlockPool::Hold(BlockId id) {
  if (blocks_[id].num_holders++ == 0) RemoveIdle(id);
}

// Returns 1 if nobody holds the block any more.
int64_t BlockPool::Drop(BlockId id) {
  Block& block = blocks_[id];
  if (--block.num_holders > 0) return 0;
  if (block.published) {
    PushIdle(id);
  } else {
    free_.push_back(id);
  }
  return 1;
}

}  // namespace oneai::serving
