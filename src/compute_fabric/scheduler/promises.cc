#include "compute_fabric/scheduler/promises.h"

#include <algorithm>
#include <utility>

namespace oneai::fabric {
namespace {

bool IsSomebodyStopping(const JobTable& jobs, const Promise& promise) {
  return std::any_of(promise.evicted.begin(), promise.evicted.end(), [&](const std::string& id) {
    const JobView* job = jobs.Find(id);
    return job != nullptr && job->stopping && !job->placed.empty();
  });
}

}  // namespace

PromiseHold::PromiseHold(SchedulerState* state) : state_(state) {
  std::vector<Promise>& promises = state_->promises;
  promises.erase(std::remove_if(promises.begin(), promises.end(),
                                [&](const Promise& promise) {
                                  const JobView* job = state_->jobs.Find(promise.job_id);
                                  return job == nullptr || !IsWaiting(*job);
                                }),
                 promises.end());
  for (const Promise& promise : promises) {
    Take(promise);
    jobs_.insert(promise.job_id);
  }
}

PromiseHold::~PromiseHold() {
  for (const Promise& promise : state_->promises) Release(promise);
}

void PromiseHold::Settle(absl::FunctionRef<bool(const JobView& job)> place) {
  std::vector<Promise> promises = std::exchange(state_->promises, {});
  for (Promise& promise : promises) {
    Release(promise);
    if (!place(*state_->jobs.Find(promise.job_id)) && IsSomebodyStopping(state_->jobs, promise)) {
      Take(promise);
      state_->promises.push_back(std::move(promise));
    } else {
      jobs_.erase(promise.job_id);
    }
  }
}

void PromiseHold::Add(Promise promise) {
  Take(promise);
  jobs_.insert(promise.job_id);
  state_->promises.push_back(std::move(promise));
}

void PromiseHold::Take(const Promise& promise) {
  const JobView& job = *state_->jobs.Find(promise.job_id);
  for (const TaskPlacement& task : promise.tasks) state_->cluster.TakeExactly(job.shape, task);
  state_->queues.Charge(job.queue, AmountsOfTasks(job.shape, promise.tasks));
}

void PromiseHold::Release(const Promise& promise) {
  const JobView& job = *state_->jobs.Find(promise.job_id);
  for (const TaskPlacement& task : promise.tasks) state_->cluster.Release(job.shape, task);
  state_->queues.Charge(job.queue, AmountsOfTasks(job.shape, promise.tasks), -1);
}

}  // namespace oneai::fabric
