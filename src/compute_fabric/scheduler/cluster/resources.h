// File: compute_fabric/scheduler/cluster/resources.h
//
// Amounts and shapes: what nodes have, what tasks ask for. Plain values.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace oneai::fabric {

// A whole device is 1,000 milli-devices. Shares are for a single device: count 1, milli below
// 1,000.
inline constexpr int32_t kWholeDevice = 1000;

// One way to serve a task with devices. All `count` devices are of `kind`, on one node.
struct DeviceAlternative {
  std::string kind;
  int32_t count = 0;
  int32_t milli = kWholeDevice;    // of each; below kWholeDevice only with count 1
  int64_t memory_bytes = 0;        // of each device's own memory; 0: in proportion to milli
  double relative_throughput = 1;  // of this job on this alternative, against its others

  int64_t total_milli() const { return int64_t{count} * milli; }
  bool operator==(const DeviceAlternative&) const = default;
};

// What each task of a job needs. Jobs of the same shape are one class to the scheduler: what is
// learnt about one (where it fits, that it fits nowhere) holds for all.
struct TaskShape {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t num_ports = 0;
  std::vector<DeviceAlternative> devices;            // any one of them; empty: none
  std::map<std::string, std::string> node_selector;  // labels that the node must have

  bool operator==(const TaskShape&) const = default;
};

// Amounts by resource name: "cpu" (milli), "memory" (bytes), and device kinds (milli-devices). What
// quotas, usage and prices are written in. A name that is absent is 0 where it is an amount, and
// no limit where it is a limit.
using Amounts = std::map<std::string, int64_t>;
inline constexpr char kCpu[] = "cpu";
inline constexpr char kMemory[] = "memory";
inline constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// What one task of `shape` takes with `device` (null: none).
Amounts AmountsOf(const TaskShape& shape, const DeviceAlternative* device);
void Add(Amounts& sum, const Amounts& amounts, int64_t times = 1);

}  // namespace oneai::fabric
