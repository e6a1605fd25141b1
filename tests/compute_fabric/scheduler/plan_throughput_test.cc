// Kinds of device go to the jobs that gain most on them, within one plan.
#include <gtest/gtest.h>

#include "compute_fabric/scheduler/plan.h"

namespace oneai::fabric {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

NodeSpec NodeOf(const std::string& kind) {
  NodeSpec node;
  node.name = kind;
  node.cpu_milli = 64'000;
  node.memory_bytes = int64_t{64} << 30;
  node.devices.push_back({.id = "0", .kind = kind, .memory_bytes = int64_t{80} << 30});
  return node;
}

JobView JobOf(const std::string& id, double gain_on_fast) {
  JobView job;
  job.id = id;
  job.queue = "unit";
  job.submitted = kNow;
  job.gang = true;
  job.ranks = {0};
  job.shape.devices.push_back({.kind = "fast", .count = 1, .relative_throughput = gain_on_fast});
  job.shape.devices.push_back({.kind = "slow", .count = 1, .relative_throughput = 1});
  return job;
}

std::string KindOf(const PlanResult& result, const std::string& id) {
  for (const JobPlacement& placement : result.placements) {
    if (placement.job_id == id) return placement.tasks.front().device->kind;
  }
  return "";
}

TEST(PlanThroughputTest, WhoGainsLittleLeavesTheFastKind) {
  SchedulerState state;
  SetNode(state, NodeOf("fast"));
  SetNode(state, NodeOf("slow"));
  JobView little = JobOf("little", 1.2);
  little.sequence = 1;  // it is served first
  JobView much = JobOf("much", 10);
  much.sequence = 2;
  SetJob(state, little);
  SetJob(state, much);
  SchedulerState blind = state;
  const PlanResult result = Plan(state, {}, kNow);
  EXPECT_EQ(KindOf(result, "little"), "slow");
  EXPECT_EQ(KindOf(result, "much"), "fast");

  Policy policy;
  policy.throughput_aware = false;
  const PlanResult as_listed = Plan(blind, policy, kNow);
  EXPECT_EQ(KindOf(as_listed, "little"), "fast");
  EXPECT_EQ(KindOf(as_listed, "much"), "slow");
}

TEST(PlanThroughputTest, AloneAJobGetsItsFastest) {
  SchedulerState state;
  SetNode(state, NodeOf("fast"));
  SetNode(state, NodeOf("slow"));
  SetJob(state, JobOf("little", 1.2));
  EXPECT_EQ(KindOf(Plan(state, {}, kNow), "little"), "fast");
}

}  // namespace
}  // namespace oneai::fabric
