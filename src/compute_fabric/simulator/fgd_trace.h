// File: compute_fabric/simulator/fgd_trace.h
//
// Node and task lists in the format of Alibaba's cluster-trace-gpu-v2023 ("openb").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/scheduler/cluster/node.h"
#include "compute_fabric/scheduler/cluster/resources.h"

namespace oneai::fabric {

struct FgdWorkload {
  std::string name;  // "default" of openb_pod_list_default.csv, else the file's stem
  std::vector<TaskShape> tasks;
};

// Columns sn, cpu_milli, memory_mib, gpu, model. Nodes without a GPU are left out, as in the
// experiment. InvalidArgument: a bad field, a name twice, no node with a GPU.
absl::StatusOr<std::vector<NodeSpec>> ReadFgdNodes(const std::string& path);

// Columns cpu_milli, memory_mib, num_gpu, gpu_milli and, if there, gpu_spec (models separated by
// "|"; empty: any). A task has one alternative for each model of `nodes` that it accepts; a GPU
// task that accepts none is InvalidArgument, as is every bad field.
absl::StatusOr<FgdWorkload> ReadFgdTasks(const std::string& path,
                                         const std::vector<NodeSpec>& nodes);

}  // namespace oneai::fabric
