#include "compute_fabric/scheduler/state.h"

#include <algorithm>
#include <utility>

namespace oneai::fabric {
namespace {

bool SamePlacement(const TaskPlacement& a, const TaskPlacement& b) {
  const auto same_grant = [](const DeviceGrant& x, const DeviceGrant& y) {
    return x.id == y.id && x.milli == y.milli && x.memory_bytes == y.memory_bytes;
  };
  return a.node == b.node && a.device == b.device && a.ports == b.ports &&
         std::equal(a.grants.begin(), a.grants.end(), b.grants.begin(), b.grants.end(), same_grant);
}

// Whether the two hold the same, so that nothing has to be given back and taken again.
bool HoldSame(const JobView& a, const JobView& b) {
  return a.queue == b.queue && a.shape == b.shape &&
         std::equal(a.placed.begin(), a.placed.end(), b.placed.begin(), b.placed.end(),
                    SamePlacement);
}

void Hold(SchedulerState& state, const JobView& job) {
  if (job.placed.empty()) return;
  for (const TaskPlacement& task : job.placed) state.cluster.TakeExactly(job.shape, task);
  state.queues.Charge(job.queue, AmountsOfTasks(job.shape, job.placed));
}

void LetGo(SchedulerState& state, const JobView& job) {
  if (job.placed.empty()) return;
  for (const TaskPlacement& task : job.placed) state.cluster.Release(job.shape, task);
  state.queues.Charge(job.queue, AmountsOfTasks(job.shape, job.placed), -1);
}

}  // namespace

void SetNode(SchedulerState& state, const NodeSpec& node) {
  const bool is_new = state.cluster.Find(node.name) == kNoNode;
  const Amounts before = state.cluster.capacity();
  state.cluster.SetNode(node);
  if (is_new) {
    // Tasks that are said to run there: their job was known before the node.
    for (const JobView* job : state.jobs.OnNode(node.name)) {
      for (const TaskPlacement& task : job->placed) {
        if (task.node == node.name) state.cluster.TakeExactly(job->shape, task);
      }
    }
  }
  if (before != state.cluster.capacity()) state.queues.SetCapacity(state.cluster.capacity());
}

void RemoveNode(SchedulerState& state, absl::string_view name) {
  state.cluster.RemoveNode(name);
  state.queues.SetCapacity(state.cluster.capacity());
}

void SetJob(SchedulerState& state, JobView job) {
  const JobView* old = state.jobs.Find(job.id);
  const bool same = old != nullptr && HoldSame(*old, job);
  if (old != nullptr && !same) LetGo(state, *old);
  const JobView* now = state.jobs.Set(std::move(job));
  if (!same) Hold(state, *now);
}

void RemoveJob(SchedulerState& state, absl::string_view id) {
  const JobView* old = state.jobs.Find(id);
  if (old == nullptr) return;
  LetGo(state, *old);
  state.jobs.Remove(id);
}

absl::Status SetQueues(SchedulerState& state, const std::vector<QueueSpec>& specs) {
  return state.queues.SetSpecs(specs);
}

Amounts AmountsOfTasks(const TaskShape& shape, const std::vector<TaskPlacement>& tasks) {
  Amounts sum;
  size_t i = 0;
  while (i < tasks.size()) {
    // Runs of tasks with one device, which is nearly always all of them.
    size_t end = i + 1;
    while (end < tasks.size() && tasks[end].device == tasks[i].device) ++end;
    Add(sum, AmountsOf(shape, tasks[i].device ? &*tasks[i].device : nullptr),
        static_cast<int64_t>(end - i));
    i = end;
  }
  return sum;
}

}  // namespace oneai::fabric
