#include "compute_fabric/scheduler/release_events.h"

#include <algorithm>
#include <utility>

namespace oneai::fabric {
namespace {

// Most searches end among the first releases.
constexpr int64_t kFirstLoad = 32;

bool EndsFirst(const ReleaseEvent& a, const ReleaseEvent& b) { return a.end < b.end; }

}  // namespace

absl::Time ReleaseEvents::EndOf(const JobView& job) const {
  return std::max(ExpectedEnd(job), now_ + absl::Seconds(1));
}

void ReleaseEvents::Append(const JobView& job, const TaskPlacement& task,
                           std::vector<ReleaseEvent>& to) const {
  const NodeIndex node = state_->cluster.Find(task.node);
  if (node == kNoNode) return;
  to.push_back({EndOf(job), node, ReleaseOf(state_->cluster.node(node).spec, job.shape, task)});
}

// Each load is as large as all before it, so that skipping what is loaded costs no more than
// loading.
void ReleaseEvents::LoadMore() {
  const size_t old_size = events_.size();
  int64_t left = std::max(kFirstLoad, num_loaded_);
  absl::Time last_end = loaded_end_;
  std::string last_id = loaded_id_;
  loaded_all_ = true;
  state_->jobs.VisitRunning([&](const JobView& job) {
    const absl::Time end = ExpectedEnd(job);
    if (num_loaded_ > 0 && std::tie(end, job.id) <= std::tie(loaded_end_, loaded_id_)) return true;
    if (left-- == 0) {
      loaded_all_ = false;
      return false;
    }
    last_end = end;
    last_id = job.id;
    if (added_.contains(job.id)) return true;
    for (const TaskPlacement& task : job.placed) Append(job, task, events_);
    return true;
  });
  num_loaded_ += std::max(kFirstLoad, num_loaded_);
  loaded_end_ = last_end;
  loaded_id_ = std::move(last_id);
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
  while (!loaded_all_ && (i >= events_.size() || events_[i].end > loaded_end_)) LoadMore();
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
