#include "serving/scheduler/batch_plan.h"

#include <algorithm>
#include <tuple>

namespace oneai::serving {
namespace {

// A running sequence while the plan is made.
struct Slot {
  const SequenceView* sequence;
  int64_t num_blocks;      // held, with what this plan gives it
  int64_t num_computed;    // with what it finds in the prefix cache
  int64_t num_chunk = 0;   // tokens planned
  int64_t num_drafts = 0;  // after them
  bool evicted = false;

  int64_t Want() const { return sequence->num_tokens - num_computed; }
};

class Planner {
 public:
  Planner(const SchedulerView& view, const BatchLimits& limits)
      : view_(view),
        limits_(limits),
        num_free_(view.num_free_blocks),
        num_free_states_(view.num_free_states),
        budget_(limits.max_batch_tokens),
        service_(view.tenant_service) {}

  BatchPlan Plan() {
    DropExpired();
    PlanRunning();
    // A step that took blocks away has none to hand out.
    if (plan_.preempted.empty()) Admit();
    budget_ += kept_;  // guesses of decodes may have it
    for (Slot& slot : slots_) {
      if (slot.evicted || slot.num_chunk == 0) continue;
      GiveDrafts(slot);
      plan_.chunks.push_back({slot.sequence->id, slot.num_chunk, slot.num_drafts});
    }
    return std::move(plan_);
  }

 private:
  void DropExpired() {
    for (const SequenceView& s : view_.running) {
      if (s.deadline <= view_.now) {
        plan_.expired.push_back(s.id);
        released_ = true;
        ++num_free_states_;
        num_free_ += s.num_blocks - s.num_shared_blocks;
      } else {
        slots_.push_back({&s, s.num_blocks, s.num_computed});
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
      return std::tuple(a.Want() > 1, a.sequence->arrival) <
             std::tuple(b.Want() > 1, b.sequence->arrival);
    });
    bool decodes = false;
    for (Slot& slot : slots_) {
      if (slot.evicted || slot.sequence->paused) continue;
      if (slot.Want() > 1 && decodes) KeepForDecodes();
      GiveChunk(slot);
      decodes |= slot.Want() == 1 && slot.num_chunk == 1;
    }
    if (decodes) KeepForDecodes();
  }

  // Once there is a decode, prompts get no more than their share, so that its reader does not wait.
  void KeepForDecodes() {
    const int64_t most = limits_.max_prompt_tokens_beside_decodes;
    if (most <= 0 || kept_ > 0 || budget_ <= most) return;
    kept_ = budget_ - most;
    budget_ = most;
  }

  // Plans the largest chunk that budget and free blocks allow, and evicts only if not even one
  // token fits.
  void GiveChunk(Slot& slot) {
    int64_t chunk = ChunkWithinBudget(slot);
    if (chunk <= 0) return;
    int64_t fitting = Fitting(slot);
    while (fitting < 1 && EvictFor(slot)) fitting = Fitting(slot);
    chunk = std::min(chunk, fitting);
    if (chunk < 1) return;
    Take(slot, chunk);
  }

  int64_t ChunkWithinBudget(const Slot& slot) const {
    const int64_t most = slot.sequence->chunk_tokens_max;
    const int64_t chunk = std::min(slot.Want(), budget_);
    return most > 0 ? std::min(chunk, most) : chunk;
  }

  // Tokens that fit the slot's blocks and the free ones.
  int64_t Fitting(const Slot& slot) const {
    return (slot.num_blocks + num_free_) * view_.block_tokens - slot.num_computed;
  }

  void Take(Slot& slot, int64_t chunk) {
    TakeBlocks(slot, slot.num_computed + chunk);
    slot.num_chunk = chunk;
    budget_ -= chunk;
  }

  void TakeBlocks(Slot& slot, int64_t num_tokens) {
    const int64_t needed =
        std::max<int64_t>(BlocksFor(num_tokens, view_.block_tokens) - slot.num_blocks, 0);
    num_free_ -= needed;
    slot.num_blocks += needed;
  }

  // Only from what nobody else can use in this step.
  void GiveDrafts(Slot& slot) {
    if (slot.num_chunk < slot.Want()) return;
    slot.num_drafts =
        std::max<int64_t>(0, std::min({slot.sequence->num_drafts_max, budget_, num_free_states_,
                                       Fitting(slot) - slot.num_chunk}));
    num_free_states_ -= slot.num_drafts;
    TakeBlocks(slot, slot.num_computed + slot.num_chunk + slot.num_drafts);
    budget_ -= slot.num_drafts;
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
    // Blocks that others hold too are not counted, even if those are evicted as well: the next
    // plan finds them free.
    num_free_ += slot.num_blocks - slot.sequence->num_shared_blocks;
    budget_ += slot.num_chunk;
    slot.num_blocks = 0;
    slot.num_chunk = 0;
    slot.evicted = true;
    released_ = true;
    ++num_free_states_;
    plan_.preempted.push_back(slot.sequence->id);
  }

  void Admit() {
    while (budget_ > 0 && !waiting_.empty()) {
      if (NumRunning() >= limits_.max_running_sequences && !EvictPaused()) return;
      if (num_free_states_ < 1) return;
      auto next = std::min_element(
          waiting_.begin(), waiting_.end(),
          [this](const SequenceView* a, const SequenceView* b) { return TurnOf(*a) < TurnOf(*b); });
      const SequenceView& sequence = **next;
      const int64_t num_blocks = BlocksFor(sequence.num_tokens, view_.block_tokens);
      int64_t num_held = released_ ? 0 : sequence.num_cached_held_blocks;
      if (!MakeRoom(num_blocks - num_held)) return;
      if (released_ && num_held > 0) {
        num_held = 0;
        if (!MakeRoom(num_blocks)) return;
      }
      leans_on_held_ |= num_held > 0;
      waiting_.erase(next);
      plan_.admitted.push_back(sequence.id);
      --num_free_states_;
      if (!sequence.resumed) service_[sequence.tenant] += sequence.num_tokens * kPromptTokenCost;
      Slot slot{&sequence, num_held, sequence.num_cached};
      Take(slot, ChunkWithinBudget(slot));
      slots_.push_back(slot);
    }
  }

  int64_t NumRunning() const {
    return std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.evicted; });
  }

  bool EvictPaused() {
    if (leans_on_held_) return false;
    for (Slot& slot : slots_) {
      if (!slot.sequence->paused || slot.evicted) continue;
      Evict(slot);
      return true;
    }
    return false;
  }

  enum class Turn { kResumed, kStarving, kByService };

  std::tuple<Turn, int64_t, int64_t, absl::Time, int64_t> TurnOf(const SequenceView& s) const {
    const auto by_arrival = [&s](Turn turn) {
      return std::tuple(turn, int64_t{0}, int64_t{0}, absl::InfinitePast(), s.arrival);
    };
    if (s.resumed) return by_arrival(Turn::kResumed);
    if (view_.now - s.submitted >= limits_.starvation_bound) return by_arrival(Turn::kStarving);
    return {Turn::kByService, service_[s.tenant], -int64_t{s.priority}, s.deadline, s.arrival};
  }

  // True when `num_blocks` are free beyond what the running prompts still need to be computed.
  // Paused sequences give way.
  bool MakeRoom(int64_t num_blocks) {
    int64_t promised = 0, reclaimable = 0;
    for (const Slot& slot : slots_) {
      if (slot.evicted) continue;
      if (slot.sequence->paused) {
        reclaimable += slot.num_blocks - slot.sequence->num_shared_blocks;
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
  int64_t num_free_states_;
  int64_t budget_;
  int64_t kept_ = 0;  // of the budget, from prompts
  std::vector<int64_t> service_;
  std::vector<Slot> slots_;
  std::vector<const SequenceView*> waiting_;
  // A cached block that was held when the view was made may be counted as free once its holder is
  // released, so a plan does not do both: lean on held blocks, and release holders.
  bool released_ = false, leans_on_held_ = false;
  BatchPlan plan_;
};

}  // namespace

BatchPlan PlanBatch(const SchedulerView& view, const BatchLimits& limits) {
  return Planner(view, limits).Plan();
}

}  // namespace oneai::serving
