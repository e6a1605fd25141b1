// File: tests/compute_fabric/scheduler/state_text.h
//
// Everything a cluster says of itself, as text: two states are equal when their texts are.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric::testing {

inline std::string TextOf(const Amounts& amounts) {
  std::string text;
  for (const auto& [name, amount] : amounts) {
    if (amount != 0) absl::StrAppend(&text, name, "=", amount, " ");
  }
  return text;
}

inline std::string TextOf(const ClusterState& cluster) {
  std::string text = absl::StrCat("capacity ", TextOf(cluster.capacity()), "\nfree ",
                                  TextOf(cluster.free()), "\n");
  for (NodeIndex i = 0; i < cluster.num_indexes(); ++i) {
    const NodeState& node = cluster.node(i);
    absl::StrAppend(&text, i, " ", node.spec.name, " ", node.cpu_milli_free, " ",
                    node.memory_bytes_free, " ", node.num_ports_free, " ", node.num_tasks, " ",
                    node.rank, " [", absl::StrJoin(node.ports_used, " "), "] [",
                    absl::StrJoin(node.num_tasks_by_class, " "), "]");
    for (const DeviceState& device : node.devices) {
      absl::StrAppend(&text, " ", device.milli_free, ":", device.memory_free);
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

inline std::string TextOf(const std::vector<TaskPlacement>& tasks) {
  std::string text;
  for (const TaskPlacement& task : tasks) {
    absl::StrAppend(&text, task.rank, "@", task.node);
    if (task.device) absl::StrAppend(&text, " ", task.device->kind);
    for (const DeviceGrant& grant : task.grants) {
      absl::StrAppend(&text, " ", grant.id, ":", grant.milli, ":", grant.memory_bytes);
    }
    absl::StrAppend(&text, " ", absl::StrJoin(task.ports, ","), "; ");
  }
  return text;
}

inline std::string TextOf(const SchedulerState& state) {
  std::string text = TextOf(state.cluster);
  state.jobs.VisitAll([&](const JobView& job) {
    absl::StrAppend(&text, job.id, " ", job.ranks.size(), " ", TextOf(job.placed), "\n");
  });
  for (const std::string& path : state.queues.Paths()) {
    const QueueUse* use = state.queues.FindUse(path);
    if (use != nullptr) absl::StrAppend(&text, path, ": ", TextOf(use->in_use), "\n");
  }
  return text;
}

}  // namespace oneai::fabric::testing
