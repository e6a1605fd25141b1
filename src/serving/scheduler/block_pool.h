// File: serving/scheduler/block_pool.h
//
// Who holds which block of the paged KV cache. A block is the keys and values of `block_tokens`
// consecutive tokens in every layer; a sequence's block table lists its blocks in the order of its
// tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "serving/scheduler/batch_plan.h"

namespace oneai::serving {

// A number of a block, as kernels read it from a block table.
using BlockId = int32_t;

// Thread-compatible.
class BlockPool {
 public:
  // Both at least 1.
  BlockPool(int64_t num_blocks, int64_t block_tokens);

  // Lets `sequence` hold `num_tokens` tokens in all, taking what blocks it lacks, all or none. A
  // sequence is known from its first Grow to its Release. kResourceExhausted: too few are free;
  // nothing changed.
  absl::Status Grow(SequenceId sequence, int64_t num_tokens);

  // Gives back all blocks of `sequence`; returns how many. Unknown: 0.
  int64_t Release(SequenceId sequence);

  // The blocks of `sequence`, in the order of its tokens; empty when it is unknown. Valid until the
  // next Grow or Release.
  absl::Span<const BlockId> BlockTable(SequenceId sequence) const;

  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t block_tokens() const { return block_tokens_; }

 private:
  const int64_t num_blocks_;
  const int64_t block_tokens_;
  std::vector<BlockId> free_;  // taken from the back: the block used last is the warmest
  absl::flat_hash_map<SequenceId, std::vector<BlockId>> tables_;
};

}  // namespace oneai::serving
