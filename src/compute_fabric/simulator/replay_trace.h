// File: compute_fabric/simulator/replay_trace.h
//
// Traces for a replay. Three formats, told apart by their header line:
//
//   simple submit,duration[,name,tasks,tasks_min,cpus,memory,kind,count,milli,queue,user,priority,
//            limit,preemptible,topology,spread]       in any order, only the first two are required
//   Philly   submit_time,duration_s,num_gpus,virtual_cluster
//   Alibaba …,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec,qos],creation_time,deletion_time[,…]
//
// Simple: `submit` is seconds since the trace began, or YYYY-MM-DD HH:MM:SS; `duration` and `limit`
// are seconds or "1h30m" (no limit: empty); `cpus`, `memory` ("16GiB") and `count` devices of
// `kind` are of each of `tasks`; `milli` is the share of one device (count 1); `kind` may list
// alternatives with their relative throughput, "h100|a100*0.5"; tasks_min below tasks makes the
// gang elastic; `topology` is nvlink, host, rack or zone, with "!" where required; `spread` is
// pack, node or node-preferred.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/simulator/csv_table.h"
#include "compute_fabric/simulator/replay_engine.h"

namespace oneai::fabric {

// What the trace does not say.
struct TraceDefaults {
  // For Philly's and Alibaba's tasks that name no kind: any kind of the cluster.
  std::vector<std::string> kinds;
  // Philly and Alibaba: time limit = run time times a factor drawn evenly from 1..limit_factor, by
  // `seed`; 1: exact; 0: no limits. A simple trace names its limits.
  double limit_factor = 1;
  uint64_t seed = 42;
};

// In order of the file. InvalidArgument: none of the formats, or a bad field: names file, line and
// column. Alibaba's tasks that never ended in the trace are left out.
absl::StatusOr<std::vector<ReplayJob>> ReadReplayTrace(const CsvTable& table,
                                                       const TraceDefaults& defaults);

}  // namespace oneai::fabric
