// File: benchmarks/compute_fabric/scheduler/workload.h
//
// A large mixed pool and the jobs of the people who use it, from a seed.
#pragma once

#include <random>
#include <string>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/job.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric::bench {

// Nodes with 8 devices of three kinds in racks of 32 and zones of 1,024, and jobs in the
// proportions that published traces show (Philly, PAI): most of one device, some shares, few large
// gangs that ask for most of the devices.
class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {}

  NodeSpec Node(int number);
  JobView Job(int64_t number, absl::Time submitted);
  int64_t Int(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }

 private:
  TaskShape Shape(int32_t count, int32_t milli);

  std::mt19937_64 random_;
};

// Three units with nominal quota and two projects each, and one that nobody has set up.
std::vector<QueueSpec> Queues(int64_t num_nodes);

}  // namespace oneai::fabric::bench
