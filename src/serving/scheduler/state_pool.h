// File: serving/scheduler/state_pool.h
//
// Who holds which slot of recurrent state. A model with recurrent layers remembers a sequence in
// one slot, which cannot be cut back; to go on from an earlier token, or to let another sequence go
// on from there, the slot's contents as they were then have to be kept.
//
// So the pool hands slots to sequences, and keeps the others as snapshots: the state after the last
// token of a block, under the block's name (block_hash.h). A snapshot nobody wants any more than
// the others gives way when a slot is needed; the one used longest ago goes first.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "serving/scheduler/block_hash.h"

namespace oneai::serving {

// Thread-compatible.
class StatePool {
 public:
  // 0: a model without such layers.
  explicit StatePool(int64_t num_slots);

  // A slot for the caller, whose contents are those of the snapshot that gave way, if one did.
  // nullopt: the callers hold all of them.
  std::optional<int32_t> Take();
  // Takes a slot back.
  void Give(int32_t slot);

  // Turns a slot of the caller's into the snapshot `name`. If there is one already, the slot is
  // taken back instead: their contents are equal bit for bit.
  void Keep(const BlockHash& name, int32_t slot);
  bool Knows(const BlockHash& name) const { return names_.contains(name); }
  // The snapshot's slot, to be copied from, counted as used now. nullopt: there is none.
  std::optional<int32_t> Find(const BlockHash& name);
  // Forgets a snapshot, if there is one.
  void Drop(const BlockHash& name);

  int64_t num_slots() const { return static_cast<int64_t>(slots_.size()); }
  // Not held by a caller.
  int64_t num_free() const { return static_cast<int64_t>(free_.size() + names_.size()); }
  int64_t num_snapshots() const { return static_cast<int64_t>(names_.size()); }

 private:
  struct Slot {
    BlockHash name;                // of snapshots
    int32_t older = 0, newer = 0;  // neighbours among the snapshots
  };
  void PushNewest(int32_t slot);
  void Unlink(int32_t slot);
  Slot& At(int32_t slot);

  std::vector<Slot> slots_;
  Slot ring_;  // newer: the oldest snapshot; older: the newest
  std::vector<int32_t> free_;
  absl::flat_hash_map<BlockHash, int32_t> names_;
};

}  // namespace oneai::serving
