// File: compute_fabric/first_scheduler/quota.h
//
// Phase 2 and 5: what a project may still take. Cheap, so it comes before any node is looked at;
// devices are counted when the alternative has been chosen.
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// Every limit of `project` that `num_tasks` more tasks of `shape` would exceed, in words ("project
// retail/nlp is at its CPU limit 4000m: 3000m in use, 2000m asked for"). Of device alternatives,
// only those that all exceed a limit are named. Empty: admitted.
std::vector<std::string> QuotaBlockers(const std::string& project, const QueueSnapshot& queue,
                                       const TaskShape& shape, int64_t num_tasks);

// Whether `count` more devices of `kind` are within the project's limit.
bool DeviceWithinQuota(const QueueSnapshot& queue, const std::string& kind, int64_t count);

// Adds placed tasks to the project's use.
void ChargeQuota(QueueSnapshot& queue, const TaskShape& shape,
                 const std::vector<TaskPlacement>& tasks);

}  // namespace oneai::fabric::inline first
