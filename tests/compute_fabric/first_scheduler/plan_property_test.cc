// Properties of Plan over random clusters and jobs.
#include <algorithm>
#include <random>
#include <set>

#include "compute_fabric/first_scheduler/plan.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
const char* const kKinds[] = {"x86-amx", "hanguang-800", "nvidia-h100-80g"};

class RandomCluster {
 public:
  explicit RandomCluster(uint32_t seed) : random_(seed) {}

  ClusterSnapshot Make() {
    ClusterSnapshot s;
    const int num_nodes = Upto(8);
    for (int i = 0; i < num_nodes; ++i) s.nodes.push_back(MakeNode(i));
    const int num_jobs = 1 + Upto(12);
    for (int i = 0; i < num_jobs; ++i) s.pending.push_back(MakeJob(i));
    if (Upto(1))
      s.queues["p/0"] = {.cpu_milli_limit = 1000 * (1 + Upto(8)),
                         .device_limit = {{kKinds[0], 1 + Upto(3)}}};
    return s;
  }

 private:
  int Upto(int max) { return std::uniform_int_distribution<int>(0, max)(random_); }

  NodeSnapshot MakeNode(int i) {
    NodeSnapshot node{.name = "n" + std::to_string(i),
                      .schedulable = Upto(5) > 0,
                      .unschedulable_reason = "cordoned",
                      .cpu_milli = 500 * Upto(16),
                      .memory_bytes = int64_t{1} << (28 + Upto(6)),
                      .port_first = 1000,
                      .port_last = 1000 + Upto(6)};
    node.cpu_milli_used = node.cpu_milli / (1 + Upto(3)) / 2;
    const int num_devices = Upto(4);
    for (int d = 0; d < num_devices; ++d) {
      node.devices.push_back({.id = "d" + std::to_string(d),
                              .kind = kKinds[Upto(2)],
                              .healthy = Upto(6) > 0,
                              .in_use = Upto(4) == 0});
    }
    if (node.port_last > 1002) node.ports_used = {1001};
    return node;
  }

  PendingJob MakeJob(int i) {
    PendingJob job{.id = "j" + std::to_string(i),
                   .project = "p/" + std::to_string(Upto(1)),
                   .priority = Upto(2),
                   .submitted = kNow - absl::Seconds(Upto(900)),
                   .gang = Upto(1) == 1,
                   .spread = static_cast<SpreadPolicy>(Upto(2)),
                   .port_seed = static_cast<uint64_t>(Upto(100))};
    job.shape = {.cpu_milli = 250 * (1 + Upto(8)),
                 .memory_bytes = int64_t{1} << (20 + Upto(10)),
                 .num_ports = Upto(2)};
    const int num_alternatives = Upto(2);
    for (int d = 0; d < num_alternatives; ++d) {
      job.shape.devices.push_back(
          {.kind = kKinds[d], .count = 1 + Upto(1), .relative_throughput = 0.5 + Upto(2)});
    }
    const int num_tasks = 1 + Upto(5);
    for (int rank = 0; rank < num_tasks; ++rank) job.ranks.push_back(rank);
    return job;
  }

  std::mt19937 random_;
};

// Applies the plan to the snapshot and fails at the first thing taken twice or beyond what there
// is.
void CheckNothingIsOverAllocated(const ClusterSnapshot& s, const PlacementPlan& plan) {
  std::map<std::string, NodeSnapshot> nodes;
  for (const NodeSnapshot& node : s.nodes) nodes[node.name] = node;
  std::map<std::string, int64_t> project_cpu;
  std::map<std::string, std::map<std::string, int64_t>> project_devices;
  for (const JobPlacement& placement : plan.placements) {
    const auto job = std::find_if(s.pending.begin(), s.pending.end(),
                                  [&](const auto& j) { return j.id == placement.job_id; });
    ASSERT_NE(job, s.pending.end());
    std::set<std::string> used_nodes;
    for (const TaskPlacement& task : placement.tasks) {
      NodeSnapshot& node = nodes.at(task.node);
      EXPECT_TRUE(node.schedulable);
      node.cpu_milli_used += job->shape.cpu_milli;
      node.memory_bytes_used += job->shape.memory_bytes;
      EXPECT_LE(node.cpu_milli_used, node.cpu_milli);
      EXPECT_LE(node.memory_bytes_used, node.memory_bytes);
      EXPECT_EQ(static_cast<int64_t>(task.ports.size()), job->shape.num_ports);
      for (int port : task.ports) {
        EXPECT_TRUE(port >= node.port_first && port <= node.port_last);
        EXPECT_TRUE(node.ports_used.insert(port).second) << "port taken twice";
      }
      EXPECT_EQ(task.device.has_value(), !job->shape.devices.empty());
      if (task.device) {
        EXPECT_EQ(static_cast<int64_t>(task.device_ids.size()), task.device->count);
        project_devices[job->project][task.device->kind] += task.device->count;
      }
      for (const std::string& id : task.device_ids) {
        auto device = std::find_if(node.devices.begin(), node.devices.end(),
                                   [&](const auto& d) { return d.id == id; });
        ASSERT_NE(device, node.devices.end());
        EXPECT_TRUE(device->healthy && !device->in_use && device->kind == task.device->kind);
        device->in_use = true;
      }
      project_cpu[job->project] += job->shape.cpu_milli;
      const bool fresh = used_nodes.insert(task.node).second;
      EXPECT_TRUE(fresh || job->spread != SpreadPolicy::kNode) << "two tasks on one node";
    }
  }
  for (const auto& [project, queue] : s.queues) {
    if (queue.cpu_milli_limit > 0) {
      EXPECT_LE(project_cpu[project], queue.cpu_milli_limit);
    }
    for (const auto& [kind, limit] : queue.device_limit)
      EXPECT_LE(project_devices[project][kind], limit);
  }
}

void CheckEveryJobIsPlacedOrExplained(const ClusterSnapshot& s, const PlacementPlan& plan) {
  for (const PendingJob& job : s.pending) {
    size_t num_placed = 0;
    for (const JobPlacement& placement : plan.placements) {
      if (placement.job_id == job.id) num_placed += placement.tasks.size();
    }
    EXPECT_TRUE(!job.gang || num_placed == 0 || num_placed == job.ranks.size())
        << "a gang was split";
    const bool explained =
        std::any_of(plan.pending.begin(), plan.pending.end(), [&](const PendingReason& r) {
          return r.job_id == job.id && !r.reasons.empty() && !r.reasons[0].empty();
        });
    EXPECT_EQ(explained, num_placed < job.ranks.size()) << job.id;
  }
}

std::string Fingerprint(const PlacementPlan& plan) {
  std::string text;
  for (const JobPlacement& placement : plan.placements) {
    for (const TaskPlacement& task : placement.tasks) {
      text += placement.job_id + "/" + std::to_string(task.rank) + "@" + task.node + ":";
      for (int port : task.ports) text += std::to_string(port) + ",";
      for (const std::string& id : task.device_ids) text += id + ",";
    }
  }
  for (const PendingReason& reason : plan.pending) {
    for (const std::string& words : reason.reasons) text += reason.job_id + words;
  }
  return text;
}

TEST(PlanPropertyTest, HoldsOverRandomClusters) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    const ClusterSnapshot s = RandomCluster(seed).Make();
    const PlacementPlan plan = Plan(s, kNow);
    CheckNothingIsOverAllocated(s, plan);
    CheckEveryJobIsPlacedOrExplained(s, plan);
    EXPECT_EQ(Fingerprint(plan), Fingerprint(Plan(s, kNow)));
    ClusterSnapshot shuffled = s;
    std::reverse(shuffled.nodes.begin(), shuffled.nodes.end());
    std::reverse(shuffled.pending.begin(), shuffled.pending.end());
    EXPECT_EQ(Fingerprint(plan), Fingerprint(Plan(shuffled, kNow)))
        << "the order of the snapshot must not matter";
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace oneai::fabric
