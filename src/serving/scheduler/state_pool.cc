#include "serving/scheduler/state_pool.h"

namespace oneai::serving {
namespace {

constexpr int32_t kRing = -1;  // ring_, as a neighbour

}  // namespace

StatePool::StatePool(int64_t num_slots) : slots_(num_slots) {
  ring_.older = ring_.newer = kRing;
  free_.reserve(num_slots);
  names_.reserve(num_slots);
  for (int64_t slot = num_slots; slot-- > 0;) free_.push_back(static_cast<int32_t>(slot));
}

std::optional<int32_t> StatePool::Take() {
  if (free_.empty()) {
    if (ring_.newer == kRing) return std::nullopt;
    const int32_t oldest = ring_.newer;
    Unlink(oldest);
    names_.erase(slots_[oldest].name);
    return oldest;
  }
  const int32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void StatePool::Give(int32_t slot) { free_.push_back(slot); }

void StatePool::Keep(const BlockHash& name, int32_t slot) {
  const auto [it, is_new] = names_.emplace(name, slot);
  if (is_new) {
    slots_[slot].name = name;
  } else {
    Give(slot);
    Unlink(it->second);
  }
  PushNewest(it->second);
}

std::optional<int32_t> StatePool::Find(const BlockHash& name) {
  const auto it = names_.find(name);
  if (it == names_.end()) return std::nullopt;
  Unlink(it->second);
  PushNewest(it->second);
  return it->second;
}

void StatePool::Drop(const BlockHash& name) {
  const auto it = names_.find(name);
  if (it == names_.end()) return;
  Unlink(it->second);
  Give(it->second);
  names_.erase(it);
}

StatePool::Slot& StatePool::At(int32_t slot) { return slot == kRing ? ring_ : slots_[slot]; }

void StatePool::PushNewest(int32_t slot) {
  slots_[slot].older = ring_.older;
  slots_[slot].newer = kRing;
  At(ring_.older).newer = slot;
  ring_.older = slot;
}

void StatePool::Unlink(int32_t slot) {
  At(slots_[slot].older).newer = slots_[slot].newer;
  At(slots_[slot].newer).older = slots_[slot].older;
}

}  // namespace oneai::serving
