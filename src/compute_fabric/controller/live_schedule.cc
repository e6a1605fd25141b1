#include "compute_fabric/controller/live_schedule.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/log/log.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/job_gates.h"
#include "compute_fabric/controller/past_use.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/scheduler/feasibility.h"
#include "compute_fabric/scheduler/preempt.h"
#include "compute_fabric/scheduler/queues/sandbox.h"

namespace oneai::fabric {
namespace {

// How often a pass looks again at jobs that wait although nothing changed: minimum runtimes end,
// usage decays, holds begin.
constexpr absl::Duration kIdlePass = absl::Seconds(1);
constexpr int64_t kGiB = int64_t{1} << 30;

std::vector<ReservationSpec> AllReservations(const FabricState& records) {
  std::vector<ReservationSpec> specs;
  for (const Record<v1::Reservation>& reservation : records.reservations().All())
    specs.push_back(MakeReservationSpec(*reservation.value));
  return specs;
}

// For a request of which no kind is known: the known one that was most likely meant. Empty: some
// kind is known, or none is near.
std::string NearestKind(const TaskShape& shape, const Amounts& capacity) {
  std::vector<std::string> known;
  for (const auto& [resource, amount] : capacity) {
    if (resource != kCpu && resource != kMemory) known.push_back(resource);
  }
  for (const DeviceAlternative& device : shape.devices) {
    if (capacity.count(device.kind) > 0) return "";
  }
  for (const DeviceAlternative& device : shape.devices) {
    if (const auto nearest = NearestWord(device.kind, known); nearest) return *nearest;
  }
  return "";
}

// A spec that is asked about: all of its ranks wait.
JobView AskedView(const v1::Job& job, const Policy& policy, absl::Time now) {
  return MakeJobView(job, {}, policy, now);
}

}  // namespace

void LiveSchedule::RefreshNodes(absl::Time now) {
  const int64_t version = records_->nodes().version();
  const int64_t reservations_version = records_->reservations().version();
  if (version == nodes_version_ && reservations_version == reservations_version_) return;
  const bool all = reservations_version != reservations_version_;
  nodes_version_ = version;
  reservations_version_ = reservations_version;
  changed_ = true;
  const std::vector<ReservationSpec> reservations = AllReservations(*records_);
  std::set<std::string> gone;
  for (const auto& [name, revision] : node_revisions_) gone.insert(name);
  for (const Record<v1::Node>& node : records_->nodes().All()) {
    const std::string& name = node.value->info().name();
    gone.erase(name);
    int64_t& known = node_revisions_[name];
    if (known == node.revision && !all) continue;
    known = node.revision;
    SetNode(state_, MakeNodeSpec(*node.value, reservations, now));
  }
  for (const std::string& name : gone) {
    RemoveNode(state_, name);
    node_revisions_.erase(name);
  }
}

void LiveSchedule::RefreshArrays() {
  const int64_t version = records_->arrays().version();
  if (version == arrays_version_) return;
  arrays_version_ = version;
  for (const Record<v1::JobArray>& array : records_->arrays().All()) {
    int64_t& known = array_revisions_[array.value->id()];
    if (known == array.revision) continue;
    known = array.revision;
    for (std::string& id : records_->job_index().OfArray(array.value->id()))
      dirty_.insert(std::move(id));
  }
}

void LiveSchedule::MoveWindow(const std::string& array_id) {
  const Record<v1::JobArray> array = records_->arrays().Find(array_id);
  if (array.value == nullptr || array.value->running_max() == 0) return;
  const int num_holding = records_->job_index().ProgressOf(array_id).num_holding;
  const std::vector<std::string> waiting = records_->job_index().WaitingOfArray(
      array_id, std::max(0, array.value->running_max() - num_holding));
  std::set<std::string> window(waiting.begin(), waiting.end());
  std::set<std::string>& before = windows_[array_id];
  std::set_symmetric_difference(window.begin(), window.end(), before.begin(), before.end(),
                                std::inserter(dirty_, dirty_.end()));
  before = std::move(window);
}

void LiveSchedule::TakeJob(const std::string& id, absl::Time now) {
  const JobRecord job = records_->jobs().Find(id);
  if (job.value == nullptr || IsFinished(job.value->state())) {
    RemoveJob(state_, id);
    timers_.Remove(id);
    return;
  }
  units_.insert(std::string(BusinessUnitOf(QueueOf(job.value->spec()))));
  SetJob(state_, MakeJobView(*job.value, GatesOf(*records_, *job.value), options_->policy, now));
  timers_.Set(id, NextAdvanceTime(*job.value, now));
}

void LiveSchedule::RefreshJobs(absl::Time now) {
  std::set<std::string> arrays;
  for (std::string& id : records_->job_index().TakeChanged(JobIndex::Reader::kSchedule)) {
    const JobRecord job = records_->jobs().Find(id);
    const bool ended = job.value == nullptr || IsFinished(job.value->state());
    if (job.value != nullptr && !job.value->array_id().empty())
      arrays.insert(job.value->array_id());
    if (ended) {
      for (std::string& other : records_->job_index().DependentsOf(id))
        dirty_.insert(std::move(other));
    }
    dirty_.insert(std::move(id));
  }
  for (const std::string& array : arrays) {
    MoveWindow(array);
    for (std::string& other : records_->job_index().DependentsOf(array))
      dirty_.insert(std::move(other));
  }
  for (std::string& id : timers_.TakeDue(now)) dirty_.insert(std::move(id));
  if (!dirty_.empty()) changed_ = true;
  for (const std::string& id : dirty_) TakeJob(id, now);
  dirty_.clear();
}

Amounts LiveSchedule::SandboxAmounts() const {
  Amounts amounts;
  if (options_->sandbox_share <= 0 || units_.empty()) return amounts;
  const double share =
      std::min(options_->sandbox_share, 10 * options_->sandbox_share / units_.size());
  for (const auto& [resource, capacity] : state_.cluster.capacity()) {
    const int64_t step = resource == kCpu ? 1000 : resource == kMemory ? kGiB : kWholeDevice / 10;
    const int64_t amount =
        static_cast<int64_t>(static_cast<double>(capacity) * share) / step * step;
    if (amount > 0) amounts[resource] = amount;
  }
  return amounts;
}

void LiveSchedule::RefreshQueues() {
  const int64_t version = records_->queues().version();
  const Amounts& capacity = state_.cluster.capacity();
  if (version == queues_version_ && capacity == capacity_of_queues_ &&
      units_.size() == units_of_queues_)
    return;
  std::vector<QueueSpec> specs;
  for (const Record<v1::Queue>& queue : records_->queues().All()) {
    specs.push_back(MakeQueueSpec(*queue.value));
    units_.insert(std::string(BusinessUnitOf(queue.value->project())));
  }
  units_.erase("");
  queues_version_ = version;
  capacity_of_queues_ = capacity;
  units_of_queues_ = units_.size();
  changed_ = true;
  queues_ = WithSandboxes(specs, {units_.begin(), units_.end()}, SandboxAmounts());
  absl::Status set = SetQueues(state_, queues_);
  if (!set.ok()) {
    // What administrators wrote was valid; without sandboxes it is again.
    queues_ = specs;
    set = SetQueues(state_, queues_);
  }
  // What is stored was checked when it was written, perhaps by an older release.
  if (!set.ok())
    Log::Error("the queue tree does not add up; the one before stays", {{"error", set}});
}

void LiveSchedule::Refresh(absl::Time now) {
  // Timers are times of the clock as it was before it was set back.
  if (now < latest_) {
    for (std::string& id : records_->job_index().Unfinished()) dirty_.insert(std::move(id));
  }
  latest_ = now;
  if (!knows_past_) {
    ReplayPastUse(state_.queues, records_->jobs().All(), options_->policy.usage_half_life, now);
    knows_past_ = true;
  }
  RefreshNodes(now);
  RefreshArrays();
  RefreshJobs(now);
  RefreshQueues();
}

void LiveSchedule::AddVictims(const JobView& job, absl::Time now, Explanation& why) {
  if (!options_->policy.preemption || !why.would_evict.empty()) return;
  const PreemptionPlan plan = FindVictims(state_, options_->policy, job, nullptr, now);
  for (const Eviction& eviction : plan.evictions) why.would_evict.push_back(eviction.job_id);
}

bool LiveSchedule::PassIsDue(absl::Time now) {
  absl::MutexLock lock(&mu_);
  Refresh(now);
  if (changed_) return true;
  return state_.jobs.num_waiting() > 0 && (now - last_pass_ >= kIdlePass || now < last_pass_);
}

PlanResult LiveSchedule::Plan(absl::Time now) {
  absl::MutexLock lock(&mu_);
  Refresh(now);
  changed_ = false;
  last_pass_ = now;
  PlanResult plan = fabric::Plan(state_, options_->policy, now);
  last_placed_.clear();
  for (const JobPlacement& placement : plan.placements) last_placed_.insert(placement.job_id);
  return plan;
}

void LiveSchedule::Reconsider(const std::string& job_id) {
  absl::MutexLock lock(&mu_);
  dirty_.insert(job_id);
}

Explanation LiveSchedule::Explain(const v1::Job& job, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Refresh(now);
  // Gates speak of other jobs' states: as they are now.
  TakeJob(job.id(), now);
  Explanation why = fabric::Explain(state_, options_->policy, job.id(), now);
  const JobView* view = state_.jobs.Find(job.id());
  if (view == nullptr || !IsWaiting(*view)) return why;
  AddVictims(*view, now, why);
  // Those ahead of it may take the room pass after pass without being able to start (a full disk).
  if (why.reasons.empty() && last_pass_ > view->submitted && !last_placed_.contains(job.id())) {
    why.reasons.push_back(
        "there is room for it now: the last pass served others first, or the room came since");
  }
  return why;
}

WhatIf LiveSchedule::Try(const v1::Job& job, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Refresh(now);
  const JobView view = AskedView(job, options_->policy, now);
  WhatIf what_if = PlanWhatIf(state_, options_->policy, view, now);
  if (what_if.placement.tasks.empty()) AddVictims(view, now, what_if.explanation);
  return what_if;
}

absl::Status LiveSchedule::CheckFeasible(const v1::Job& job, absl::Time now) {
  absl::MutexLock lock(&mu_);
  // What runs does not matter here, and every submit asks: jobs are left to the next pass.
  RefreshNodes(now);
  RefreshQueues();
  const JobView view = AskedView(job, options_->policy, now);
  const absl::Status fits = CanEverFit(state_, view);
  if (!fits.ok()) {
    const std::string nearest = NearestKind(view.shape, state_.cluster.capacity());
    return nearest.empty() ? fits
                           : absl::InvalidArgumentError(absl::StrCat(
                                 fits.message(), "; the nearest known kind is ", nearest));
  }
  return QuotaCanEverAdmit(state_.queues, view);
}

QueueStanding LiveSchedule::StandingOf(const std::string& queue, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Refresh(now);
  QueueStanding standing{.dominant_share = state_.queues.DominantShare(queue)};
  if (const QueueUse* use = state_.queues.FindUse(queue); use != nullptr)
    standing.decayed_use = use->decayed;
  return standing;
}

std::vector<QueueSpec> LiveSchedule::Queues(absl::Time now) {
  absl::MutexLock lock(&mu_);
  Refresh(now);
  return queues_;
}

}  // namespace oneai::fabric
