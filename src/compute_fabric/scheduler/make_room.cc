// Phase 6 as the pass uses it: whether a job that waits may have others make room, and what is done
// about it. Shrinking comes before evicting: it costs nobody his place.
#include <algorithm>
#include <optional>

#include "compute_fabric/scheduler/elastic.h"
#include "compute_fabric/scheduler/pass.h"

namespace oneai::fabric {
namespace {

// Searches for victims a pass: each looks at all that runs.
constexpr int kVictimSearchesMax = 4;
constexpr absl::Duration kResizeWaitPerGang = absl::Milliseconds(20);

}  // namespace

bool Pass::MakeRoom(const JobView& job) {
  if (!policy_.preemption || num_victim_searches_ >= kVictimSearchesMax) return false;
  const JobClass job_class = state_.jobs.ClassOf(job);
  // Cheap questions first: most waiting jobs are neither more important than what runs beside them
  // nor owed anything that others have borrowed.
  if (!state_.preempt_backoff.MaySearch(job.queue, job_class, now_) ||
      !victims_.IsAnyoneInReach(job)) {
    return false;
  }
  if (num_victim_searches_ == 0) {
    if (!state_.preempt_backoff.MayBeginRound(now_)) return false;
    state_.preempt_backoff.RoundBegun(state_.jobs.num_running(), now_);
  }
  ++num_victim_searches_;
  if (ShrinkFor(job)) return false;
  PreemptionPlan plan = victims_.Find(job, Gate());
  // Who has been placed in this pass has not started yet: there is nobody to warn.
  const bool is_just_placed =
      std::any_of(plan.evictions.begin(), plan.evictions.end(),
                  [&](const Eviction& eviction) { return placed_.contains(eviction.job_id); });
  if (plan.evictions.empty() || is_just_placed) {
    state_.preempt_backoff.Failed(job.queue, job_class, state_.jobs.num_running(), now_);
    return false;
  }
  state_.preempt_backoff.Succeeded(job.queue, job_class);
  victims_.Carried(plan);
  Promise promise{job.id, std::move(plan.tasks), {}};
  for (Eviction& eviction : plan.evictions) {
    state_.jobs.MarkStopping(eviction.job_id);
    // It was to shrink for another: it stops altogether now.
    result_.resizes.erase(
        std::remove_if(result_.resizes.begin(), result_.resizes.end(),
                       [&](const Resize& other) { return other.job_id == eviction.job_id; }),
        result_.resizes.end());
    promise.evicted.push_back(eviction.job_id);
    result_.evictions.push_back(std::move(eviction));
  }
  promises_.Add(std::move(promise));
  return true;
}

// Whether elastic gangs will make room at their next checkpoint: nobody has to be stopped then.
bool Pass::ShrinkFor(const JobView& job) {
  bool shrinks = false;
  for (Resize& resize : PlanResizes(state_, policy_, {&job}, now_)) {
    const JobView* gang = state_.jobs.Find(resize.job_id);
    if (resize.tasks >= static_cast<int>(gang->placed.size())) continue;
    shrinks = true;
    AddResize(std::move(resize));
  }
  return shrinks;
}

// Gangs are resized at their next checkpoint, minutes from now at best, so a look now and then will
// do; each tries placements for every gang that could change.
void Pass::ResizeElastic() {
  if (now_ < state_.next_resize) return;
  state_.next_resize = now_ + state_.jobs.num_elastic() * kResizeWaitPerGang;
  for (Resize& resize : PlanResizes(state_, policy_, waiting_, now_)) AddResize(std::move(resize));
}

// One decision a gang: the first, which was for a job that may evict others.
void Pass::AddResize(Resize resize) {
  const bool is_known =
      std::any_of(result_.resizes.begin(), result_.resizes.end(),
                  [&](const Resize& other) { return other.job_id == resize.job_id; });
  if (!is_known && !state_.jobs.Find(resize.job_id)->stopping) {
    result_.resizes.push_back(std::move(resize));
  }
}

}  // namespace oneai::fabric
