// File: serving/scheduler/block_pool.h
//
// Who holds which block of the paged KV cache. A block is the keys and values of `block_tokens`
// consecutive tokens in every layer; a sequence's block table lists its blocks in the order of its
// tokens.
//
// Blocks are shared: by sequences with a common beginning, which only read it, and with the past.
// A full block that was published under its hash stays findable after its last holder released it,
// until its memory is needed. The block released longest ago goes first, and of one sequence the
// last block first, since without its beginning a block is of no use (arXiv:2309.06180, section
// 4.4; vLLM's hash-chained cache).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serving/scheduler/batch_plan.h"
#include "serving/scheduler/block_hash.h"

namespace oneai::serving {

// A number of a block, as kernels read it from a block table.
using BlockId = int32_t;

// Blocks at the beginning of a chain of hashes that the pool knows.
struct PrefixMatch {
  int64_t num_blocks = 0;
  int64_t num_held = 0;  // of them, held by a sequence now: adopting them takes no free block
};

// The contents of `from` have to be copied to `to`.
struct BlockCopy {
  BlockId from = 0, to = 0;
};

// Thread-compatible.
class BlockPool {
 public:
  // Both at least 1.
  BlockPool(int64_t num_blocks, int64_t block_tokens);

  // Lets `sequence` hold `num_tokens` tokens in all, taking what blocks it lacks, all or none. A
  // sequence is known from its first Grow, Adopt or Fork to its Release. kResourceExhausted: too
  // few are free; nothing changed.
  absl::Status Grow(SequenceId sequence, int64_t num_tokens);

  // Gives up all blocks of `sequence`; returns how many became free. Unknown: 0.
  int64_t Release(SequenceId sequence);

  // The blocks of `sequence`, in the order of its tokens; empty when it is unknown. Valid until the
  // next call that is not const.
  absl::Span<const BlockId> BlockTable(SequenceId sequence) const;
  // Those that others hold too, so that Release would not free them.
  int64_t NumShared(SequenceId sequence) const;

  // --- prefix cache ---
  // How much of `chain`, from its beginning, is there.
  PrefixMatch Find(absl::Span<const BlockHash> chain) const;
  // Makes what Find finds the beginning of `sequence`, which must be unknown; returns how many
  // blocks.
  int64_t Adopt(SequenceId sequence, absl::Span<const BlockHash> chain);
  // Block `index` of `sequence` is full, computed and named `hash`. If the pool has such a block
  // already, the sequence goes on with that one and gives its own back: their contents are equal
  // bit for bit.
  void Publish(SequenceId sequence, int64_t index, const BlockHash& hash);
  bool Knows(const BlockHash& hash) const { return cached_.contains(hash); }
  // Called with a published block right before its memory is used for something else.
  void OnEvict(std::function<void(BlockId, const BlockHash&)> observer);

  // Makes `child`, which must be unknown, begin with the first `num_tokens` tokens of `parent`:
  // full blocks are shared, a partial one is to be copied. kResourceExhausted: no block is free for
  // the copy; nothing changed.
  absl::StatusOr<std::optional<BlockCopy>> Fork(SequenceId parent, SequenceId child,
                                                int64_t num_tokens);

  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  // Not held by a sequence.
  int64_t num_free() const { return static_cast<int64_t>(free_.size()) + num_idle_; }
  // Findable by their hash, held or not.
  int64_t num_cached() const { return static_cast<int64_t>(cached_.size()); }
  int64_t block_tokens() const { return block_tokens_; }

 private:
  struct Block {
    int32_t num_holders = 0;
    bool published = false;
    BlockHash hash;
    BlockId older = 0, newer = 0;  // neighbours among the idle
  };

  // Idle: published and held by nobody. A ring from the oldest to the newest, through blocks_'
  // sentinel idle_.
  void PushIdle(BlockId id);
  void RemoveIdle(BlockId id);
  BlockId TakeFree();
  void Hold(BlockId id);
  int64_t Drop(BlockId id);

  const int64_t block_tokens_;
  std::vector<Block> blocks_;
  Block idle_;  // newer: the oldest idle block; older: the newest
  int64_t num_idle_ = 0;
  std::vector<BlockId> free_;  // neither held nor idle; taken from the back: the warmest
  absl::flat_hash_map<BlockHash, BlockId> cached_;
  absl::flat_hash_map<SequenceId, std::vector<BlockId>> tables_;
  std::function<void(BlockId, const BlockHash&)> on_evict_;
};

}  // namespace oneai::serving
