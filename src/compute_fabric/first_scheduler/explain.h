// File: compute_fabric/first_scheduler/explain.h
//
// Reasons in words: what a job needs, what each node lacks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

std::string FormatCpuNumber(int64_t cpu_milli);  // "2", "0.5"
std::string FormatCpus(int64_t cpu_milli);       // "2 CPUs", "1 CPU", "0.5 CPU"
std::string FormatBytes(int64_t bytes);          // "512 MiB", "1.5 GiB"

// "needs 2 tasks on different nodes with 2 CPUs, 1 GiB and 1 x86-amx each".
std::string DescribeNeed(const PendingJob& job);

// The need, then every blocker: one string per node, at most `nodes_max` of them and then "and 12
// more nodes". `nodes` as they are after what was placed before the job.
std::vector<std::string> ExplainPending(const PendingJob& job,
                                        const std::vector<NodeSnapshot>& nodes,
                                        int64_t nodes_max = 16);

}  // namespace oneai::fabric::inline first
