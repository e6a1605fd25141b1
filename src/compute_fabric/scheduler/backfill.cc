#include "compute_fabric/scheduler/backfill.h"

#include <algorithm>
#include <map>
#include <utility>

#include "compute_fabric/scheduler/kept_places.h"
#include "compute_fabric/scheduler/release_events.h"
#include "compute_fabric/scheduler/start_search.h"

namespace oneai::fabric {

struct BackfillWindow::Impl {
  SchedulerState* state;
  const Policy* policy;
  absl::Time now;
  ReleaseEvents releases;
  KeptPlaces kept;
};

BackfillWindow::BackfillWindow(SchedulerState* state, const Policy* policy, absl::Time now)
    : impl_(new Impl{state, policy, now, ReleaseEvents(state, now), KeptPlaces(state)}) {}
BackfillWindow::~BackfillWindow() = default;

PlannedStart BackfillWindow::Reserve(const JobView& job) {
  const bool holds = job.gang && impl_->now - job.submitted >= impl_->policy->hold_after;
  if (!impl_->state->candidates.IsBoundTo(*impl_->policy)) {
    impl_->state->candidates.Follow(impl_->state->jobs, *impl_->policy);
  }
  const std::optional<FoundStart> found =
      FindStart(*impl_->state, job, impl_->now, impl_->kept, impl_->releases,
                holds ? Horizon::kAllEnds : Horizon::kKnownEnds);
  if (!found) return {.job_id = job.id};
  return impl_->kept.Keep(job, found->start, found->device, found->nodes);
}

void BackfillWindow::Keep(const JobView& job, const std::vector<TaskPlacement>& tasks,
                          absl::Time start) {
  std::map<NodeIndex, int64_t> num_on;
  const DeviceAlternative* device = nullptr;
  for (const TaskPlacement& task : tasks) {
    const NodeIndex node = impl_->state->cluster.Find(task.node);
    if (node == kNoNode) continue;
    ++num_on[node];
    if (task.device) device = &*task.device;
  }
  impl_->kept.Keep(job, start, device, {num_on.begin(), num_on.end()});
}

int64_t BackfillWindow::NumAdmitted(const NodeState& node, const JobView& job,
                                    int64_t limit) const {
  if (num_reserved() == 0) return limit;
  const NodeIndex index = impl_->state->cluster.Find(node.spec.name);
  if (!impl_->kept.HasAny(index)) return limit;
  const absl::Time end = impl_->now + job.time_limit;
  int64_t most = limit;
  const auto admit_with = [&](const DeviceAlternative* device) {
    int64_t num = impl_->state->cluster.NumFit(index, job.shape, device, most);
    // An alternative that does not fit is no danger.
    if (num == 0) return;
    while (num > 0 && !impl_->kept.LeavesRoom(index, impl_->releases, job.shape, device, num,
                                              impl_->now, end)) {
      --num;
    }
    most = std::min(most, num);
  };
  if (job.shape.devices.empty()) admit_with(nullptr);
  for (const DeviceAlternative& device : job.shape.devices) admit_with(&device);
  return most;
}

bool BackfillWindow::Admits(const NodeState& node, const JobView& job) const {
  const int64_t wanted = std::max<int64_t>(1, static_cast<int64_t>(job.ranks.size()));
  if (num_reserved() == 0) return true;
  const NodeIndex index = impl_->state->cluster.Find(node.spec.name);
  if (!impl_->kept.HasAny(index)) return true;
  int64_t fit = 0;
  const auto fit_with = [&](const DeviceAlternative* device) {
    fit = std::max(fit, impl_->state->cluster.NumFit(index, job.shape, device, wanted));
  };
  if (job.shape.devices.empty()) fit_with(nullptr);
  for (const DeviceAlternative& device : job.shape.devices) fit_with(&device);
  return fit == 0 || NumAdmitted(node, job, fit) == fit;
}

void BackfillWindow::Placed(const JobView& job, const std::vector<TaskPlacement>& tasks) {
  impl_->releases.Add(job, tasks);
  for (const TaskPlacement& task : tasks) {
    impl_->kept.Changed(impl_->state->cluster.Find(task.node));
  }
}

int BackfillWindow::num_reserved() const { return impl_->kept.num_jobs(); }

const PlannedStart* BackfillWindow::KeptFor(absl::string_view node) const {
  const NodeIndex index = impl_->state->cluster.Find(node);
  const std::vector<KeptPlace>& places = impl_->kept.On(index);
  return places.empty() ? nullptr : places[0].plan;
}

}  // namespace oneai::fabric
