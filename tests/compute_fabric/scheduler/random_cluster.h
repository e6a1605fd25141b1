// File: tests/compute_fabric/scheduler/random_cluster.h
//
// Clusters, jobs and events from a seed, small enough to check by brute force and mixed enough to
// meet the corners: shares, memory shares, several kinds, racks, NVLink parts, selectors, ports.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric::testing {

class RandomCluster {
 public:
  explicit RandomCluster(uint64_t seed) : random_(seed) {}

  int64_t Int(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  bool Chance(double probability) { return Int(0, 999'999) < probability * 1e6; }
  template <typename T>
  const T& Pick(const std::vector<T>& values) {
    return values[static_cast<size_t>(Int(0, static_cast<int64_t>(values.size()) - 1))];
  }

  NodeSpec Node(int number) {
    NodeSpec node;
    node.name = absl::StrCat("node-", number);
    node.address = absl::StrCat("10.0.0.", number);
    node.cpu_milli = Int(2, 16) * 1000;
    node.memory_bytes = Int(4, 64) << 30;
    if (Chance(0.8)) node.labels["rack"] = absl::StrCat("rack-", Int(0, 3));
    if (Chance(0.5)) node.labels["zone"] = absl::StrCat("zone-", Int(0, 1));
    if (Chance(0.3)) node.labels["disk"] = "nvme";
    if (Chance(0.2)) node.labels["nvlink-domain"] = absl::StrCat("nvl-", Int(0, 1));
    node.port_first = 7000;
    node.port_last = 7000 + static_cast<int>(Int(0, 5));
    const int64_t num_devices = Chance(0.2) ? 0 : Int(1, 8);
    const std::string kind = Pick(kinds_);
    const bool has_halves = Chance(0.3);
    for (int64_t i = 0; i < num_devices; ++i) {
      DeviceSpec device;
      device.id = absl::StrCat("d", i);
      device.kind = Chance(0.05) ? Pick(kinds_) : kind;
      device.memory_bytes = int64_t{80} << 30;
      device.healthy = !Chance(0.03);
      if (has_halves) device.nvlink_domain = i < num_devices / 2 ? "left" : "right";
      node.devices.push_back(device);
    }
    if (Chance(0.05)) node.unschedulable_reason = "cordoned: test";
    return node;
  }

  DeviceAlternative Alternative(const std::string& kind) {
    DeviceAlternative device;
    device.kind = kind;
    device.count = static_cast<int32_t>(Int(1, 4));
    device.relative_throughput = static_cast<double>(Int(1, 4));
    if (Chance(0.4)) {
      device.count = 1;
      device.milli = static_cast<int32_t>(Int(1, 9)) * 100;
    }
    if (Chance(0.2)) device.memory_bytes = Int(5, 60) << 30;
    return device;
  }

  TaskShape Shape() {
    TaskShape shape;
    shape.cpu_milli = Int(0, 8) * 250;
    shape.memory_bytes = Int(0, 8) << 29;
    shape.num_ports = Chance(0.2) ? static_cast<int32_t>(Int(1, 2)) : 0;
    if (Chance(0.15)) shape.node_selector["disk"] = "nvme";
    if (Chance(0.8)) {
      for (const std::string& kind : kinds_) {
        if (Chance(0.5)) shape.devices.push_back(Alternative(kind));
      }
    }
    return shape;
  }

  JobView Job(int number, absl::Time now) {
    JobView job;
    job.id = absl::StrCat("job-", number);
    job.queue = absl::StrCat("unit-", Int(0, 2), "/project-", Int(0, 1));
    job.priority = static_cast<int>(Int(0, 2));
    job.submitted = now;
    job.sequence = static_cast<uint64_t>(number);
    job.shape = Shape();
    job.gang = Chance(0.5);
    job.tasks = static_cast<int>(Chance(0.5) ? 1 : Int(2, 6));
    job.tasks_min = job.gang && Chance(0.3) ? static_cast<int>(Int(1, job.tasks)) : job.tasks;
    if (!job.gang) job.tasks_min = 1;
    job.spread = Pick<SpreadPolicy>({SpreadPolicy::kPack, SpreadPolicy::kPack, SpreadPolicy::kNode,
                                     SpreadPolicy::kNodePreferred, SpreadPolicy::kRackPreferred});
    if (Chance(0.4)) {
      job.topology = TopologyWish{Pick<TopologyLevel>({TopologyLevel::kNvlink, TopologyLevel::kHost,
                                                       TopologyLevel::kRack, TopologyLevel::kZone}),
                                  Chance(0.5)};
    }
    if (Chance(0.7)) job.time_limit = absl::Minutes(Int(1, 600));
    job.preemptible = Chance(0.8);
    for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
    job.port_seed = static_cast<uint64_t>(number);
    return job;
  }

 private:
  std::mt19937_64 random_;
  std::vector<std::string> kinds_ = {"nvidia-h100-80g", "nvidia-a100-80g", "asic-x"};
};

}  // namespace oneai::fabric::testing
