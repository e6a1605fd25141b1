#include "compute_fabric/first_scheduler/plan.h"

#include "absl/strings/str_join.h"
#include "compute_fabric/first_scheduler/explain.h"
#include "compute_fabric/first_scheduler/feasibility.h"
#include "compute_fabric/first_scheduler/hold_nodes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

NodeSnapshot MakeNode(std::string name, int64_t cpu_milli,
                      std::vector<std::string> device_kinds = {}) {
  NodeSnapshot node{.name = name,
                    .address = "127.0.0.1",
                    .cpu_milli = cpu_milli,
                    .memory_bytes = int64_t{8} << 30,
                    .port_first = 20000,
                    .port_last = 20099};
  for (size_t i = 0; i < device_kinds.size(); ++i)
    node.devices.push_back({.id = "d" + std::to_string(i), .kind = device_kinds[i]});
  return node;
}

PendingJob MakeJob(std::string id, int num_tasks, int64_t cpu_milli) {
  PendingJob job{.id = id, .project = "retail/nlp", .submitted = kNow, .gang = true};
  job.shape.cpu_milli = cpu_milli;
  for (int rank = 0; rank < num_tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

std::string NodesOf(const PlacementPlan& plan, const std::string& job_id) {
  for (const JobPlacement& placement : plan.placements) {
    if (placement.job_id != job_id) continue;
    return absl::StrJoin(placement.tasks, ",",
                         [](std::string* out, const TaskPlacement& t) { out->append(t.node); });
  }
  return "";
}

std::string ReasonsOf(const PlacementPlan& plan, const std::string& job_id) {
  for (const PendingReason& reason : plan.pending) {
    if (reason.job_id == job_id) return absl::StrJoin(reason.reasons, "; ");
  }
  return "";
}

TEST(PlanTest, PacksOntoAsFewNodesAsPossible) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 1000), MakeNode("b", 4000), MakeNode("c", 2000)}};
  s.pending = {MakeJob("j", 2, 1000)};
  EXPECT_EQ(NodesOf(Plan(s, kNow), "j"), "c,c") << "c takes both with least to spare";
}

TEST(PlanTest, SpreadsAGangOverDifferentNodesOrNotAtAll) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 4000), MakeNode("b", 4000)}};
  s.pending = {MakeJob("j", 2, 1000), MakeJob("k", 3, 500)};
  s.pending[0].spread = s.pending[1].spread = SpreadPolicy::kNode;
  const PlacementPlan plan = Plan(s, kNow);
  EXPECT_EQ(NodesOf(plan, "j"), "a,b");
  EXPECT_EQ(NodesOf(plan, "k"), "");
  EXPECT_THAT(ReasonsOf(plan, "k"),
              HasSubstr("needs 3 tasks on different nodes with 0.5 CPU each"));
}

TEST(PlanTest, PreferredSpreadDoublesUpWhenNodesRunOut) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 4000), MakeNode("b", 4000)}};
  s.pending = {MakeJob("j", 3, 1000)};
  s.pending[0].gang = false;
  s.pending[0].spread = SpreadPolicy::kNodePreferred;
  EXPECT_EQ(NodesOf(Plan(s, kNow), "j"), "a,b,a");
}

TEST(PlanTest, GangIsAllOrNothingButReplicasArePlacedAsFarAsTheyGo) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 2000)}};
  s.pending = {MakeJob("gang", 3, 1000), MakeJob("replicas", 3, 1000)};
  s.pending[1].gang = false;
  const PlacementPlan plan = Plan(s, kNow);
  EXPECT_EQ(NodesOf(plan, "gang"), "");
  EXPECT_EQ(NodesOf(plan, "replicas"), "a,a");
  EXPECT_THAT(ReasonsOf(plan, "replicas"),
              HasSubstr("needs 1 task with 1 CPU; a: 0 CPUs free of 2"));
}

TEST(PlanTest, HigherPriorityThenEarlierSubmitComesFirst) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 1000)}};
  s.pending = {MakeJob("late", 1, 1000), MakeJob("early", 1, 1000), MakeJob("urgent", 1, 1000)};
  s.pending[1].submitted -= absl::Seconds(1);
  s.pending[2].priority = 5;
  EXPECT_EQ(NodesOf(Plan(s, kNow), "urgent"), "a");
  s.pending.pop_back();
  EXPECT_EQ(NodesOf(Plan(s, kNow), "early"), "a");
}

TEST(PlanTest, ReasonNamesEveryBlockerOfEveryNode) {
  ClusterSnapshot s{.nodes = {MakeNode("node-a", 2000, {"x86-amx"}), MakeNode("node-c", 4000),
                              MakeNode("node-d", 4000, {"x86-amx"})}};
  s.nodes[0].cpu_milli_used = 1000;
  s.nodes[2].schedulable = false;
  s.nodes[2].unschedulable_reason = "cordoned: disk swap";
  s.pending = {MakeJob("j", 2, 2000)};
  s.pending[0].spread = SpreadPolicy::kNode;
  s.pending[0].shape.devices = {{.kind = "x86-amx", .count = 1}};
  const std::string reasons = ReasonsOf(Plan(s, kNow), "j");
  EXPECT_THAT(reasons,
              AllOf(HasSubstr("needs 2 tasks on different nodes with 2 CPUs and 1 x86-amx each"),
                    HasSubstr("node-a: 1 CPU free of 2"), HasSubstr("node-c: no x86-amx"),
                    HasSubstr("node-d: cordoned: disk swap")));
}

TEST(PlanTest, ChoosesTheFasterAlternativeAndOneKindForAGang) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 8000, {"slow", "slow", "fast"})}};
  s.pending = {MakeJob("gang", 2, 1000), MakeJob("single", 1, 1000)};
  for (PendingJob& job : s.pending) {
    job.shape.devices = {{.kind = "slow", .count = 1, .relative_throughput = 0.5},
                         {.kind = "fast", .count = 1}};
  }
  const PlacementPlan plan = Plan(s, kNow);
  ASSERT_THAT(plan.placements, SizeIs(2));
  EXPECT_EQ(plan.placements[0].tasks[0].device->kind, "slow");
  EXPECT_EQ(plan.placements[0].tasks[1].device->kind, "slow");
  EXPECT_EQ(plan.placements[1].tasks[0].device->kind, "fast");
  EXPECT_THAT(plan.placements[1].tasks[0].device_ids, ElementsAre("d2"));
}

TEST(PlanTest, KeepsDeviceNodesFreeForThoseThatNeedThem) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 1000, {"asic"}), MakeNode("b", 1000)}};
  s.pending = {MakeJob("j", 1, 500)};
  EXPECT_EQ(NodesOf(Plan(s, kNow), "j"), "b");
}

TEST(PlanTest, PrefersTheNodeWithFewestAcceleratorsThatTheTaskDidNotAskFor) {
  // Every node lists its CPU as a device; the first by name has an accelerator too.
  ClusterSnapshot s{.nodes = {MakeNode("a", 2000, {"cpu", "asic"}), MakeNode("b", 4000, {"cpu"}),
                              MakeNode("c", 4000, {"cpu", "asic", "h100"})}};
  s.pending = {MakeJob("plain", 1, 1000), MakeJob("gpu", 1, 1000), MakeJob("spread", 2, 1000)};
  s.pending[1].shape.devices = {{.kind = "asic", .count = 1}};
  s.pending[2].spread = SpreadPolicy::kNode;
  const PlacementPlan plan = Plan(s, kNow);
  EXPECT_EQ(NodesOf(plan, "plain"), "b") << "though a would have less to spare";
  EXPECT_EQ(NodesOf(plan, "gpu"), "a") << "c would sit on an h100 as well";
  EXPECT_EQ(NodesOf(plan, "spread"), "b,a");
}

TEST(PlanTest, QuotaHoldsAJobBackAndSaysSo) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 8000)}};
  s.pending = {MakeJob("j", 2, 1000), MakeJob("other", 2, 1000)};
  s.pending[1].project = "retail/other";
  s.queues["retail/nlp"] = {.cpu_milli_limit = 4000, .cpu_milli_used = 3000};
  const PlacementPlan plan = Plan(s, kNow);
  EXPECT_THAT(ReasonsOf(plan, "j"), HasSubstr("project retail/nlp is at its CPU limit 4000m"));
  EXPECT_EQ(NodesOf(plan, "other"), "a,a");
}

TEST(PlanTest, PortsAreDistinctWithinTheRange) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 8000)}};
  s.nodes[0].port_last = 20003;
  s.nodes[0].ports_used = {20001};
  s.pending = {MakeJob("j", 3, 1000)};
  s.pending[0].shape.num_ports = 1;
  s.pending[0].port_seed = 3;
  const PlacementPlan plan = Plan(s, kNow);
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_THAT(plan.placements[0].tasks[0].ports, ElementsAre(20003));
  EXPECT_THAT(plan.placements[0].tasks[1].ports, ElementsAre(20000));
  EXPECT_THAT(plan.placements[0].tasks[2].ports, ElementsAre(20002));
}

TEST(PlanTest, AGangThatWaitedLongIsNotStarvedBySmallJobs) {
  ClusterSnapshot s{.nodes = {MakeNode("a", 2000), MakeNode("b", 500)}};
  s.nodes[0].cpu_milli_used = 1000;
  s.pending = {MakeJob("gang", 2, 1000), MakeJob("small", 1, 800), MakeJob("tiny", 1, 100)};
  s.pending[0].submitted = kNow - kHoldAfter;
  const PlacementPlan plan = Plan(s, kNow);
  EXPECT_THAT(ReasonsOf(plan, "small"), HasSubstr("a: held for gang"));
  EXPECT_EQ(NodesOf(plan, "tiny"), "b") << "b is of no use to the gang";
}

TEST(FeasibilityTest, NamesTheLargestThatFits) {
  const std::vector<NodeSnapshot> nodes = {MakeNode("node-a", 2000),
                                           MakeNode("node-b", 1000, {"hanguang-800"})};
  EXPECT_OK(CanEverFit(MakeJob("j", 3, 1000), nodes));
  EXPECT_THAT(
      CanEverFit(MakeJob("j", 1, 64000), nodes),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("largest node, node-a, has 2 CPUs")));
  EXPECT_THAT(
      CanEverFit(MakeJob("j", 9, 1000), nodes),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the largest that fits is 3 tasks")));
  PendingJob devices = MakeJob("j", 1, 1000);
  devices.shape.devices = {{.kind = "nvidia-h100", .count = 1}};
  EXPECT_THAT(CanEverFit(devices, nodes),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("no node has a device of kind nvidia-h100"),
                             HasSubstr("hanguang-800"))));
  EXPECT_OK(CanEverFit(MakeJob("j", 9, 64000), {})) << "no node has joined yet";
}

TEST(FeasibilityTest, AFullOrCordonedNodeStillCounts) {
  std::vector<NodeSnapshot> nodes = {MakeNode("node-a", 2000)};
  nodes[0].schedulable = false;
  nodes[0].cpu_milli_used = 2000;
  EXPECT_OK(CanEverFit(MakeJob("j", 2, 1000), nodes));
}

TEST(FeasibilityTest, QuotaThatCanNeverAdmitIsNamed) {
  EXPECT_THAT(
      QuotaCanEverAdmit(MakeJob("j", 5, 1000), {.cpu_milli_limit = 4000, .cpu_milli_used = 4000}),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("CPU limit 4000m")));
  EXPECT_OK(
      QuotaCanEverAdmit(MakeJob("j", 4, 1000), {.cpu_milli_limit = 4000, .cpu_milli_used = 4000}));
}

TEST(ExplainTest, FormatsSizes) {
  EXPECT_EQ(FormatCpus(500), "0.5 CPU");
  EXPECT_EQ(FormatCpus(2000), "2 CPUs");
  EXPECT_EQ(FormatBytes(int64_t{1536} << 20), "1.5 GiB");
}

}  // namespace
}  // namespace oneai::fabric
