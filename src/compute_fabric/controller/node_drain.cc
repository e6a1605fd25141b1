#include "compute_fabric/controller/node_drain.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

// Replicas that have had no successor by then are moved without.
constexpr absl::Duration kDeadlineNear = absl::Seconds(60);

absl::Time DeadlineOf(const v1::Node& node) {
  return absl::FromUnixMillis(node.drain().deadline_unix_ms());
}

std::string WhyOf(const v1::Node& node) {
  return absl::StrCat("node ", node.info().name(), " is being drained",
                      node.drain().reason().empty() ? "" : ": ", node.drain().reason());
}

bool IsOn(const v1::Task& task, const v1::Node& node) {
  return task.node() == node.info().name() && IsActive(task.state());
}

bool DrainGang(v1::Job& job, const v1::Node& node, absl::Time now, EventDrafts& events) {
  const bool overdue = now >= DeadlineOf(node);
  if (job.warned_unix_ms() > 0) {
    if (!overdue || job.state() == v1::STOPPING) return false;
    StopWarned(job, events);  // the node's time is up before the job's
    return true;
  }
  if (!overdue && !IsPreemptible(job.spec())) return false;
  if (!overdue && TimeLimitEnd(job) <= DeadlineOf(node)) return false;
  return ApplyPreempt(job, v1::STOP_DRAIN, WhyOf(node), now, events);
}

// Every rank below the wanted number is ready, but for `except`.
bool AllReady(const v1::Job& job) {
  int ready = 0;
  for (const v1::Task& task : job.tasks()) {
    ready += task.state() == v1::TASK_RUNNING && task.ready() ? 1 : 0;
  }
  return ready >= job.spec().num_tasks();
}

bool MoveFirst(v1::Job& job, const v1::Node& node, EventDrafts& events) {
  for (const v1::Task& task : job.tasks()) {
    if (!IsOn(task, node) || task.state() == v1::TASK_STOPPING) continue;
    return ApplyTaskMove(job, task.rank(), WhyOf(node), events);
  }
  return false;
}

bool MoveAll(v1::Job& job, const v1::Node& node, EventDrafts& events) {
  bool changed = false;
  while (MoveFirst(job, node, events)) changed = true;
  return changed;
}

bool DrainReplicas(v1::Job& job, const v1::Node& node, absl::Time now, EventDrafts& events) {
  if (now >= DeadlineOf(node) - kDeadlineNear) return MoveAll(job, node, events);
  auto& labels = *job.mutable_spec()->mutable_labels();
  if (!labels.contains(kDrainSurgeLabel)) {
    if (!AllReady(job)) return false;  // it is short of replicas as it is
    labels[kDrainSurgeLabel] = node.info().name();
    events.push_back(
        {"job.surging", job.id(), absl::StrCat("one replica more while ", WhyOf(node)), "info"});
    return ApplyScale(job, job.spec().num_tasks() + 1);
  }
  return AllReady(job) && MoveFirst(job, node, events);
}

std::set<std::string> KindsOf(const v1::Node& node) {
  std::set<std::string> kinds;
  for (const v1::Device& device : node.info().devices()) {
    // The CPU's own matrix unit need not be of the same make.
    if (device.id() != "cpu-0") kinds.insert(device.kind());
  }
  return kinds;
}

bool IsOut(const v1::Node& node) { return node.state() == v1::LOST || node.has_drain(); }

}  // namespace

bool DrainJob(v1::Job& job, const v1::Node& node, absl::Time now, EventDrafts& events) {
  if (IsFinished(job.state()) || job.state() == v1::STOPPING) return false;
  if (job.spec().gang()) return DrainGang(job, node, now, events);
  if (job.spec().long_running()) return DrainReplicas(job, node, now, events);
  const bool overdue = now >= DeadlineOf(node);
  if (!overdue && !IsPreemptible(job.spec())) return false;
  if (!overdue && TimeLimitEnd(job) <= DeadlineOf(node)) return false;
  return MoveAll(job, node, events);
}

bool EndSurge(v1::Job& job, const v1::Node* node, EventDrafts& events) {
  auto& labels = *job.mutable_spec()->mutable_labels();
  if (!labels.contains(kDrainSurgeLabel)) return false;
  const bool needed = node != nullptr && node->has_drain() &&
                      std::any_of(job.tasks().begin(), job.tasks().end(),
                                  [&](const v1::Task& task) { return IsOn(task, *node); });
  // What was moved last must be ready before the extra one goes.
  if (needed || (node != nullptr && node->has_drain() && !AllReady(job))) return false;
  labels.erase(kDrainSurgeLabel);
  events.push_back({"job.surged", job.id(), "its replicas have moved; the extra one goes", "info"});
  ApplyScale(job, std::max(1, job.spec().num_tasks() - 1));
  return true;
}

std::vector<SpareChange> PlanSpares(const std::vector<const v1::Node*>& nodes) {
  std::map<std::string, const v1::Node*> by_name;
  for (const v1::Node* node : nodes) by_name[node->info().name()] = node;
  std::vector<SpareChange> changes;
  std::set<std::string> replaced;
  std::vector<const v1::Node*> free;
  for (const auto& [name, node] : by_name) {
    if (!node->spare()) continue;
    if (node->standing_in_for().empty()) {
      if (node->state() == v1::READY) free.push_back(node);
      continue;
    }
    const auto original = by_name.find(node->standing_in_for());
    if (original != by_name.end() && IsOut(*original->second) && !IsOut(*node)) {
      replaced.insert(node->standing_in_for());
    } else {
      changes.push_back({name, ""});
    }
  }
  for (const auto& [name, node] : by_name) {
    if (node->spare() || !IsOut(*node) || replaced.contains(name)) continue;
    const std::set<std::string> kinds = KindsOf(*node);
    const auto fits = std::find_if(free.begin(), free.end(), [&](const v1::Node* spare) {
      const std::set<std::string> has = KindsOf(*spare);
      return std::includes(has.begin(), has.end(), kinds.begin(), kinds.end());
    });
    if (fits == free.end()) continue;
    changes.push_back({(*fits)->info().name(), name});
    free.erase(fits);
  }
  return changes;
}

}  // namespace oneai::fabric
