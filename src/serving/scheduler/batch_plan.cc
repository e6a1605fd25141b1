#include "serving/scheduler/batch_plan.h"

#include <algorithm>
#include <tuple>

namespace oneai::serving {
namespace {

// A running sequence while the plan is made.
struct Slot {
  const SequenceView* sequence;
  int64_t num_blocks;     // held, with what this plan gives it
  int64_t num_chunk = 0;  // tokens planned
  bool evicted = false;
};

class Planner {
 public:
  Planner(const SchedulerView& view, const BatchLimits& limits)
      : view_(view),
        limits_(limits),
        num_free_(view.num_free_blocks),
        budget_(limits.max_batch_tokens),
        service_(view.tenant_service) {}

  BatchPlan Plan() {
    DropExpired();
    PlanRunning();
    // A step that took blocks away has none to hand out.
    if (plan_.preempted.empty()) Admit();
    for (const Slot& slot : slots_) {
      if (!slot.evicted && slot.num_chunk > 0)
        plan_.chunks.push_back({slot.sequence->id, slot.num_chunk});
    }
    return std::move(plan_);
  }

 private:
  void DropExpired() {
    for (const SequenceView& s : view_.running) {
      if (s.deadline <= view_.now) {
        plan_.expired.push_back(s.id);
        num_free_ += s.num_blocks;
      } else {
        slots_.push_back({&s, s.num_blocks});
      }
    }
    for (const SequenceView& s : view_.waiting) {
      if (s.deadline <= view_.now) {
        plan_.expired.push_back(s.id);
      } else if (!s.paused) {
        waiting_.push_back(&s);
      }
    }
  }

  // Decodes first: each costs one token, and waiting behind a prompt is what a reader of a stream
  // notices.
  void PlanRunning() {
    std::sort(slots_.begin(), slots_.end(), [](const Slot& a, const Slot& b) {
      return std::tuple(Want(a) > 1, a.sequence->arrival) <
             std::tuple(Want(b) > 1, b.sequence->arrival);
    });
    for (Slot& slot : slots_) {
      if (!slot.evicted && !slot.sequence->paused) GiveChunk(slot);
    }
  }

  static int64_t Want(const Slot& slot) {
    return slot.sequence->num_tokens - slot.sequence->num_computed;
  }

  // Plans the largest chunk that budget and free blocks allow, and evicts only if not even one
  // token fits.
  void GiveChunk(Slot& slot) {
    int64_t chunk = std::min(Want(slot), budget_);
    if (chunk <= 0) return;
    int64_t fitting = Capacity(slot, num_free_) - slot.sequence->num_computed;
    if (fitting < 1 && EvictFor(slot))
      fitting = Capacity(slot, num_free_) - slot.sequence->num_computed;
    chunk = std::min(chunk, fitting);
    if (chunk < 1) return;
    Take(slot, chunk);
  }

  int64_t Capacity(const Slot& slot, int64_t num_more_blocks) const {
    return (slot.num_blocks + num_more_blocks) * view_.block_tokens;
  }

  void Take(Slot& slot, int64_t chunk) {
    int64_t needed =
        BlocksFor(slot.sequence->num_computed + chunk, view_.block_tokens) - slot.num_blocks;
    needed = std::max<int64_t>(needed, 0);
    num_free_ -= needed;
    slot.num_blocks += needed;
    slot.num_chunk = chunk;
    budget_ -= chunk;
  }

  // Takes the blocks of one sequence: a paused one, else the youngest, which must be younger than
  // `slot`.
  bool EvictFor(const Slot& slot) {
    Slot* victim = nullptr;
    for (Slot& other : slots_) {
      if (&other == &slot || other.evicted || other.num_blocks == 0) continue;
      if (!other.sequence->paused && other.sequence->arrival < slot.sequence->arrival) continue;
      if (victim == nullptr || EvictionRank(other) > EvictionRank(*victim)) victim = &other;
    }
    if (victim == nullptr) return false;
    Evict(*victim);
    return true;
  }

  static std::tuple<bool, int64_t> EvictionRank(const Slot& slot) {
    return {slot.sequence->paused, slot.sequence->arrival};
  }

  void Evict(Slot& slot) {
    num_free_ += slot.num_blocks;
    budget_ += slot.num_chunk;
    slot.num_blocks = 0;
    slot.num_chunk = 0;
    slot.evicted = true;
    plan_.preempted.push_back(slot.sequence->id);
  }

  void Admit() {
    while (budget_ > 0 && !waiting_.empty()) {
      if (NumRunning() >= limits_.max_running_sequences && !EvictPaused()) return;
      auto next = std::min_element(
          waiting_.begin(), waiting_.end(),
          [this](const SequenceView* a, const SequenceView* b) { return TurnOf(*a) < TurnOf(*b); });
      const SequenceView& sequence = **next;
      if (!MakeRoom(BlocksFor(sequence.num_tokens, view_.block_tokens))) return;
      waiting_.erase(next);
      plan_.admitted.push_back(sequence.id);
      if (!sequence.resumed) service_[sequence.tenant] += sequence.num_tokens * kPromptTokenCost;
      Slot slot{&sequence, 0};
      Take(slot, std::min(sequence.num_tokens, budget_));
      slots_.push_back(slot);
    }
  }

  int64_t NumRunning() const {
    return std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.evicted; });
  }

  bool EvictPaused() {
    for (Slot& slot : slots_) {
      if (!slot.sequence->paused || slot.evicted) continue;
      Evict(slot);
      return true;
    }
    return false;
  }

  std::tuple<bool, int64_t, int64_t, int64_t> TurnOf(const SequenceView& s) const {
    if (s.resumed) return {false, 0, 0, s.arrival};
    return {true, service_[s.tenant], -int64_t{s.priority}, s.arrival};
  }

  // True when `num_blocks` are free beyond what the running prompts still need to be computed.
  // Paused sequences give way.
  bool MakeRoom(int64_t num_blocks) {
    int64_t promised = 0, reclaimable = 0;
    for (const Slot& slot : slots_) {
      if (slot.evicted) continue;
      if (slot.sequence->paused) {
        reclaimable += slot.num_blocks;
      } else {
        promised += std::max<int64_t>(
            BlocksFor(slot.sequence->num_tokens, view_.block_tokens) - slot.num_blocks, 0);
      }
    }
    const int64_t needed = num_blocks + promised;
    if (num_free_ + reclaimable < needed) return false;
    while (num_free_ < needed && EvictPaused()) {
    }
    return true;
  }

  const SchedulerView& view_;
  const BatchLimits& limits_;
  int64_t num_free_;
  int64_t budget_;
  std::vector<int64_t> service_;
  std::vector<Slot> slots_;
  std::vector<const SequenceView*> waiting_;
  BatchPlan plan_;
};

}  // namespace

BatchPlan PlanBatch(const SchedulerView& view, const BatchLimits& limits) {
  return Planner(view, limits).Plan();
}

}  // namespace oneai::serving
