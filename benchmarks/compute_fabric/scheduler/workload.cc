#include "benchmarks/compute_fabric/scheduler/workload.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace oneai::fabric::bench {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int kNodesPerRack = 32;
constexpr int kNodesPerZone = 1024;
constexpr int kDevicesPerNode = 8;

struct Kind {
  const char* name;
  int64_t memory_bytes;
  int nodes_of_ten;
};
constexpr std::array<Kind, 3> kKinds = {{{"nvidia-h100-80g", 80 * kGiB, 5},
                                         {"nvidia-a100-80g", 80 * kGiB, 3},
                                         {"nvidia-l40s-48g", 48 * kGiB, 2}}};

const Kind& KindOfRack(int rack) {
  int place = rack % 10;
  for (const Kind& kind : kKinds) {
    if (place < kind.nodes_of_ten) return kind;
    place -= kind.nodes_of_ten;
  }
  return kKinds[0];
}

}  // namespace

NodeSpec Workload::Node(int number) {
  const int rack = number / kNodesPerRack;
  const Kind& kind = KindOfRack(rack);
  NodeSpec node;
  node.name = absl::StrCat("node-", number);
  node.address = absl::StrCat("10.", number / 65536, ".", number / 256 % 256, ".", number % 256);
  node.cpu_milli = 128'000;
  node.memory_bytes = 1024 * kGiB;
  node.labels = {{"rack", absl::StrCat("rack-", rack)},
                 {"zone", absl::StrCat("zone-", number / kNodesPerZone)}};
  node.port_first = 20'000;
  node.port_last = 21'000;
  for (int i = 0; i < kDevicesPerNode; ++i) {
    node.devices.push_back({.id = absl::StrCat("gpu-", i),
                            .kind = kind.name,
                            .memory_bytes = kind.memory_bytes,
                            .nvlink_domain = "board"});
  }
  return node;
}

TaskShape Workload::Shape(int32_t count, int32_t milli) {
  TaskShape shape;
  const int64_t cores = milli < kWholeDevice ? 2 : Int(1, 2) * 6 * count;
  shape.cpu_milli = cores * 1000;
  shape.memory_bytes = cores * 8 * kGiB;
  if (count == 0) {
    shape.cpu_milli = Int(1, 8) * 2'000;
    shape.memory_bytes = shape.cpu_milli / 1000 * 4 * kGiB;
    return shape;
  }
  const Kind& kind = kKinds[static_cast<size_t>(Int(0, 2))];
  shape.devices.push_back({.kind = kind.name, .count = count, .milli = milli});
  if (milli == kWholeDevice && Int(0, 9) < 3) {
    const Kind& other = kKinds[static_cast<size_t>(Int(0, 2))];
    if (&other != &kind) {
      shape.devices.push_back(
          {.kind = other.name, .count = count, .milli = milli, .relative_throughput = 0.5});
    }
  }
  return shape;
}

JobView Workload::Job(int64_t number, absl::Time submitted) {
  JobView job;
  job.id = absl::StrCat("job-", 10'000'000 + number);
  job.queue = absl::StrCat("unit-", Int(0, 3), "/project-", Int(0, 1));
  job.user = absl::StrCat("user-", Int(0, 200));
  job.submitted = submitted;
  job.sequence = static_cast<uint64_t>(number);
  job.port_seed = static_cast<uint64_t>(number);
  job.priority = Int(0, 99) < 5 ? 1 : 0;
  const int64_t of_hundred = Int(0, 99);
  if (of_hundred < 10) {
    job.shape = Shape(0, 0);
  } else if (of_hundred < 25) {
    job.shape = Shape(1, static_cast<int32_t>(Int(1, 4) * 200 - 100));
  } else if (of_hundred < 75) {
    job.shape = Shape(1, kWholeDevice);
  } else if (of_hundred < 85) {
    job.shape = Shape(Int(0, 1) == 0 ? 2 : 4, kWholeDevice);
  } else if (of_hundred < 93) {
    job.shape = Shape(8, kWholeDevice);
  } else {
    job.gang = true;
    job.tasks = of_hundred < 98 ? static_cast<int>(Int(1, 2) * 2) : static_cast<int>(Int(1, 4) * 4);
    job.shape = Shape(of_hundred < 96 ? 4 : 8, kWholeDevice);
    job.shape.num_ports = 1;
    if (Int(0, 1) == 0) job.topology = TopologyWish{TopologyLevel::kRack, Int(0, 3) == 0};
    if (Int(0, 9) < 3) job.tasks_min = job.tasks / 2;
  }
  if (job.gang && job.tasks_min == 1) job.tasks_min = job.tasks;
  // Long tail: minutes to days.
  job.time_limit = absl::Minutes(Int(1, 12) * (Int(0, 9) < 7 ? 10 : 240));
  for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

std::vector<QueueSpec> Queues(int64_t num_nodes) {
  std::vector<QueueSpec> queues;
  for (int unit = 0; unit < 3; ++unit) {
    QueueSpec spec;
    spec.path = absl::StrCat("unit-", unit);
    for (const Kind& kind : kKinds) {
      spec.nominal[kind.name] =
          num_nodes * kDevicesPerNode * kWholeDevice / 10 * kind.nodes_of_ten / 4;
    }
    spec.nominal[kCpu] = num_nodes * 128'000 / 4;
    spec.nominal[kMemory] = num_nodes * 1024 * kGiB / 4;
    queues.push_back(spec);
  }
  return queues;
}

}  // namespace oneai::fabric::bench
