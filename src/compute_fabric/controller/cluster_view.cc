#include "compute_fabric/controller/cluster_view.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

NodeSnapshot MakeNode(const v1::Node& node) {
  const v1::NodeInfo& info = node.info();
  NodeSnapshot snapshot{.name = info.name(),
                        .address = info.address(),
                        .cpu_milli = info.cpu_milli(),
                        .memory_bytes = info.memory_bytes(),
                        .port_first = info.port_first(),
                        .port_last = info.port_last()};
  if (node.cordoned()) {
    snapshot.unschedulable_reason = node.cordon_reason().empty()
                                        ? "cordoned"
                                        : absl::StrCat("cordoned: ", node.cordon_reason());
  } else if (node.state() == v1::LOST) {
    snapshot.unschedulable_reason = "lost: no heartbeat";
  } else if (node.state() != v1::READY) {
    snapshot.unschedulable_reason = absl::StrCat("not ready: ", node.message());
  }
  snapshot.schedulable = snapshot.unschedulable_reason.empty();
  for (const v1::Device& device : info.devices()) {
    snapshot.devices.push_back(
        {.id = device.id(), .kind = device.kind(), .healthy = device.healthy()});
  }
  return snapshot;
}

void Take(const v1::JobSpec& spec, const v1::Task& task, NodeSnapshot& node) {
  node.cpu_milli_used += spec.resources().cpu_milli();
  node.memory_bytes_used += spec.resources().memory_bytes();
  node.ports_used.insert(task.ports().begin(), task.ports().end());
  for (DeviceSnapshot& device : node.devices) {
    const auto& ids = task.device_ids();
    device.in_use = device.in_use || std::find(ids.begin(), ids.end(), device.id) != ids.end();
  }
}

void Take(const v1::JobSpec& spec, const v1::Task& task, QueueSnapshot& queue) {
  queue.cpu_milli_used += spec.resources().cpu_milli();
  queue.memory_bytes_used += spec.resources().memory_bytes();
  if (task.has_device()) queue.device_used[task.device().kind()] += task.device().count();
}

// FNV-1a: stable across builds, unlike std::hash.
uint64_t PortSeed(const v1::Job& job) {
  uint64_t hash = 1469598103934665603ull;
  for (unsigned char c : absl::StrCat(job.id(), "/", job.attempt()))
    hash = (hash ^ c) * 1099511628211ull;
  return hash;
}

}  // namespace

PendingJob MakePendingJob(const v1::Job& job, std::vector<int> ranks) {
  const v1::JobSpec& spec = job.spec();
  PendingJob pending{.id = job.id(),
                     .project = spec.project(),
                     .priority = spec.priority(),
                     .submitted = GetTime(job.submitted()),
                     .gang = spec.gang(),
                     .ranks = std::move(ranks),
                     .port_seed = PortSeed(job)};
  if (spec.spread() == v1::NODE) {
    // A gang that asks for different nodes means it; replicas rather share a node than stay away.
    pending.spread = spec.gang() ? SpreadPolicy::kNode : SpreadPolicy::kNodePreferred;
  }
  pending.shape = {.cpu_milli = spec.resources().cpu_milli(),
                   .memory_bytes = spec.resources().memory_bytes(),
                   .num_ports = std::max(spec.resources().num_ports(), spec.gang() ? 1 : 0)};
  for (const v1::DeviceRequest& device : spec.resources().devices()) {
    pending.shape.devices.push_back({.kind = device.kind(),
                                     .count = device.count(),
                                     .relative_throughput = device.relative_throughput() > 0
                                                                ? device.relative_throughput()
                                                                : 1});
  }
  for (const v1::Task& task : job.tasks()) {
    if (IsActive(task.state())) pending.nodes_held.insert(task.node());
  }
  return pending;
}

ClusterSnapshot MakeSnapshot(const std::vector<Record<v1::Job>>& jobs,
                             const std::vector<Record<v1::Node>>& nodes,
                             const std::vector<Record<v1::Queue>>& queues, absl::Time now) {
  ClusterSnapshot snapshot;
  std::map<std::string, size_t> node_index;
  for (const Record<v1::Node>& node : nodes) {
    node_index[node.value->info().name()] = snapshot.nodes.size();
    snapshot.nodes.push_back(MakeNode(*node.value));
  }
  for (const Record<v1::Queue>& record : queues) {
    QueueSnapshot& queue = snapshot.queues[record.value->project()];
    queue.cpu_milli_limit = record.value->cpu_milli_limit();
    queue.memory_bytes_limit = record.value->memory_bytes_limit();
    queue.device_limit.insert(record.value->device_limit().begin(),
                              record.value->device_limit().end());
  }
  for (const Record<v1::Job>& record : jobs) {
    const v1::Job& job = *record.value;
    if (IsFinished(job.state())) continue;
    for (const v1::Task& task : job.tasks()) {
      if (!IsActive(task.state())) continue;
      Take(job.spec(), task, snapshot.queues[job.spec().project()]);
      const auto node = node_index.find(task.node());
      if (node != node_index.end()) Take(job.spec(), task, snapshot.nodes[node->second]);
    }
    std::vector<int> ranks = RanksToPlace(job, now);
    if (!ranks.empty()) snapshot.pending.push_back(MakePendingJob(job, std::move(ranks)));
  }
  return snapshot;
}

v1::Node WithUse(const v1::Node& node, const std::vector<Record<v1::Job>>& jobs) {
  v1::Node result = node;
  result.set_cpu_milli_used(0);
  result.set_memory_bytes_used(0);
  result.clear_device_ids_used();
  result.clear_task_names();
  for (const Record<v1::Job>& job : jobs) {
    for (const v1::Task& task : job.value->tasks()) {
      if (task.node() != node.info().name() || !IsActive(task.state())) continue;
      const v1::Resources& resources = job.value->spec().resources();
      result.set_cpu_milli_used(result.cpu_milli_used() + resources.cpu_milli());
      result.set_memory_bytes_used(result.memory_bytes_used() + resources.memory_bytes());
      result.mutable_device_ids_used()->MergeFrom(task.device_ids());
      result.add_task_names(absl::StrCat(job.value->id(), "/", task.rank()));
    }
  }
  return result;
}

std::vector<v1::Queue> QueuesWithUse(const std::vector<Record<v1::Queue>>& queues,
                                     const std::vector<Record<v1::Job>>& jobs) {
  std::map<std::string, v1::Queue> by_project;
  for (const Record<v1::Queue>& queue : queues) by_project[queue.value->project()] = *queue.value;
  for (const Record<v1::Job>& record : jobs) {
    const v1::Job& job = *record.value;
    v1::Queue& queue = by_project[job.spec().project()];
    queue.set_project(job.spec().project());
    if (IsFinished(job.state())) continue;
    int num_active = 0;
    for (const v1::Task& task : job.tasks()) {
      if (!IsActive(task.state())) continue;
      ++num_active;
      queue.set_cpu_milli_used(queue.cpu_milli_used() + job.spec().resources().cpu_milli());
      queue.set_memory_bytes_used(queue.memory_bytes_used() +
                                  job.spec().resources().memory_bytes());
      if (task.has_device())
        (*queue.mutable_device_used())[task.device().kind()] += task.device().count();
    }
    if (num_active > 0) {
      queue.set_running_jobs(queue.running_jobs() + 1);
    } else {
      queue.set_pending_jobs(queue.pending_jobs() + 1);
    }
  }
  std::vector<v1::Queue> result;
  for (auto& [project, queue] : by_project) result.push_back(std::move(queue));
  return result;
}

}  // namespace oneai::fabric
