#include "compute_fabric/scheduler/release_events.h"

#include <algorithm>
#include <utility>

namespace oneai::fabric {
namespace {

// Jobs at a time: most searches end among the first releases.
constexpr size_t kLoad = 32;
constexpr size_t kFew = 1024;

bool EndsFirst(const ReleaseEvent& a, const ReleaseEvent& b) { return a.end < b.end; }

}  // namespace

absl::Time ReleaseEvents::EndOf(absl::Time expected_end) const {
  return std::max(expected_end, now_ + absl::Seconds(1));
}

void ReleaseEvents::Append(const JobView& job, const TaskPlacement& task,
                           std::vector<ReleaseEvent>& to) const {
  const NodeIndex node = state_->cluster.Find(task.node);
  if (node == kNoNode) return;
  to.push_back(
      {EndOf(ExpectedEnd(job)), node, ReleaseOf(state_->cluster.node(node).spec, job.shape, task)});
}

// Listing all of 80,000 jobs costs milliseconds, and is rarely needed.
void ReleaseEvents::ListJobs() {
  const bool is_first = jobs_.empty();
  const absl::flat_hash_set<RunningJob*> known(jobs_.begin(), jobs_.end());
  has_all_jobs_ = true;
  state_->jobs.VisitRunningJobs([&](RunningJob& job) {
    if (is_first && jobs_.size() == kFew) {
      has_all_jobs_ = false;
      return false;
    }
    if (!known.contains(&job)) jobs_.push_back(&job);
    return true;
  });
  if (has_all_jobs_) events_.reserve(jobs_.size());
}

void ReleaseEvents::LoadMore() {
  if (jobs_loaded_ == jobs_.size()) ListJobs();
  const size_t old_size = events_.size();
  const size_t until = std::min(jobs_.size(), jobs_loaded_ + kLoad);
  for (; jobs_loaded_ < until; ++jobs_loaded_) {
    RunningJob& job = *jobs_[jobs_loaded_];
    loaded_end_ = EndOf(job.end);
    if (!added_.empty() && added_.contains(job.view->id)) continue;
    for (const NodeRelease& task : job.releases.Of(state_->cluster, *job.view)) {
      events_.push_back({loaded_end_, task.node, task.release});
    }
  }
  // Jobs come by their end, but for those that are late and count as ending in a second.
  const auto middle = events_.begin() + static_cast<int64_t>(old_size);
  if (!std::is_sorted(middle, events_.end(), EndsFirst)) {
    std::stable_sort(middle, events_.end(), EndsFirst);
  }
  if (old_size > 0 && middle != events_.end() && EndsFirst(*middle, *(middle - 1))) {
    std::inplace_merge(events_.begin(), middle, events_.end(), EndsFirst);
  }
}

const ReleaseEvent* ReleaseEvents::At(size_t i) {
  // An event that Add told may end after others that are not loaded yet.
  while (!IsLoaded() && (i >= events_.size() || events_[i].end > loaded_end_)) LoadMore();
  return i < events_.size() ? &events_[i] : nullptr;
}

void ReleaseEvents::Add(const JobView& job, const std::vector<TaskPlacement>& tasks) {
  // Ranks added to a job that runs: known from state.jobs if not loaded yet, else not counted on.
  if (job.placed.size() > tasks.size() || !added_.insert(job.id).second) return;
  for (const TaskPlacement& task : tasks) {
    std::vector<ReleaseEvent> event;
    Append(job, task, event);
    if (event.empty()) continue;
    const auto place = std::upper_bound(events_.begin(), events_.end(), event[0], EndsFirst);
    events_.insert(place, std::move(event[0]));
  }
}

std::vector<ReleaseEvent> ReleaseEvents::OnNode(NodeIndex node) const {
  std::vector<ReleaseEvent> events;
  const std::string& name = state_->cluster.node(node).spec.name;
  for (const JobView* job : state_->jobs.OnNode(name)) {
    for (const TaskPlacement& task : job->placed) {
      if (task.node == name) Append(*job, task, events);
    }
  }
  std::stable_sort(events.begin(), events.end(), EndsFirst);
  return events;
}

}  // namespace oneai::fabric
