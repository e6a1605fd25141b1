#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/scheduler/describe.h"
#include "compute_fabric/scheduler/feasibility.h"
#include "compute_fabric/scheduler/plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr char kGpu[] = "nvidia-h100-80g";

NodeSpec MakeNode(const std::string& name, int64_t cpu_milli, int num_gpus = 0,
                  const std::string& rack = "") {
  NodeSpec node{.name = name,
                .address = "127.0.0.1",
                .cpu_milli = cpu_milli,
                .memory_bytes = int64_t{8} << 30,
                .port_first = 20000,
                .port_last = 20099};
  if (!rack.empty()) node.labels["rack"] = rack;
  for (int i = 0; i < num_gpus; ++i) {
    node.devices.push_back(
        {.id = absl::StrCat("g", i), .kind = kGpu, .memory_bytes = int64_t{80} << 30});
  }
  return node;
}

JobView Gang(const std::string& id, int tasks, int64_t cpu_milli, int gpus = 0) {
  JobView job{.id = id, .queue = "retail/nlp", .submitted = kNow, .gang = true};
  job.tasks = job.tasks_min = tasks;
  job.shape.cpu_milli = cpu_milli;
  if (gpus > 0) job.shape.devices = {{.kind = kGpu, .count = gpus}};
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

class ExplainTest : public ::testing::Test {
 protected:
  void Run(JobView job) {
    const std::string id = job.id;
    SetJob(state_, std::move(job));
    Plan(state_, policy_, kNow);
    ASSERT_THAT(state_.jobs.Find(id)->placed, Not(IsEmpty())) << id;
  }
  Explanation Why(JobView job) {
    const std::string id = job.id;
    SetJob(state_, std::move(job));
    return Explain(state_, policy_, id, kNow);
  }
  static std::string Text(const Explanation& why) { return absl::StrJoin(why.reasons, "; "); }

  SchedulerState state_;
  Policy policy_;
};

TEST_F(ExplainTest, NamesEveryBlockerOfEveryNode) {
  SetNode(state_, MakeNode("node-a", 2000, 1));
  Run(Gang("runs", 1, 1000));
  SetNode(state_, MakeNode("node-c", 4000));
  NodeSpec d = MakeNode("node-d", 4000, 1);
  d.unschedulable_reason = "cordoned: disk swap";
  SetNode(state_, d);
  JobView job = Gang("j", 2, 2000, 1);
  job.spread = SpreadPolicy::kNode;
  const Explanation why = Why(job);
  EXPECT_THAT(Text(why),
              AllOf(HasSubstr("needs 2 tasks on different nodes with 2 CPUs and 1 nvidia-h100-80g "
                              "each"),
                    HasSubstr("node-a: 1 CPU free of 2"), HasSubstr("node-c: no nvidia-h100-80g"),
                    HasSubstr("node-d: cordoned: disk swap")));
  EXPECT_EQ(why.queue_position, 1);
}

TEST_F(ExplainTest, GroupsThousandsOfNodes) {
  for (int i = 0; i < 300; ++i) {
    SetNode(state_, MakeNode(absl::StrCat("n", 1000 + i), 8000, i < 250 ? 8 : 0));
  }
  Run(Gang("all", 250, 1000, 8));
  const Explanation why = Why(Gang("j", 1, 1000, 2));
  EXPECT_THAT(why.reasons, ElementsAre("needs 1 task with 1 CPU and 2 nvidia-h100-80g",
                                       "on 250 of 300 nodes: 0 of 8 nvidia-h100-80g free",
                                       "on 50: no nvidia-h100-80g"));
  EXPECT_EQ(why.planned_start, absl::InfiniteFuture());
}

TEST_F(ExplainTest, CoarseGroupsNameTheBestNode) {
  for (int i = 0; i < 40; ++i) {
    SetNode(state_, MakeNode(absl::StrCat("n", 10 + i), 8000 + 100 * i));
  }
  const Explanation why = Why(Gang("j", 1, 20'000));
  EXPECT_THAT(why.reasons,
              ElementsAre("needs 1 task with 20 CPUs",
                          "on 40 of 40 nodes: fewer than 20 CPUs free (the best, n49: 11.9 CPUs "
                          "free of 11.9)"));
  EXPECT_EQ(why.smallest_change, "would start now with 11.9 CPUs instead of 20");
}

TEST_F(ExplainTest, RequiredTopologyNamesTheBestDomain) {
  for (int i = 0; i < 4; ++i) {
    SetNode(state_, MakeNode(absl::StrCat("n", i), 64'000, 4, i < 3 ? "rack-3" : "rack-4"));
  }
  JobView job = Gang("j", 16, 100, 1);
  job.topology = TopologyWish{TopologyLevel::kRack, true};
  const Explanation why = Why(job);
  EXPECT_THAT(why.reasons, Contains("no single rack has room for 16 tasks: the best, rack-3, has "
                                    "room for 12"));
  EXPECT_EQ(why.smallest_change,
            "would start now with \"same rack\" preferred instead of required");
  EXPECT_THAT(CanEverFit(state_, *state_.jobs.Find("j")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("the largest rack, rack-3, takes 12 tasks"),
                             HasSubstr("within one rack"))));
}

TEST_F(ExplainTest, QuotaGatesAndPositionAreNamed) {
  ASSERT_OK(
      SetQueues(state_, {{.path = "retail", .nominal = {{kGpu, 2000}}, .limit = {{kGpu, 2000}}},
                         {.path = "retail/nlp", .nominal = {{kGpu, 2000}}}}));
  SetNode(state_, MakeNode("a", 64'000, 8));
  Run(Gang("runs", 1, 1000, 1));
  SetJob(state_, Gang("first", 1, 1000, 2));
  JobView job = Gang("j", 1, 1000, 2);
  job.sequence = 1;
  const Explanation why = Why(job);
  EXPECT_THAT(why.reasons, Contains(HasSubstr("queue retail is limited to 2 nvidia-h100-80g: 1 "
                                              "nvidia-h100-80g in use, 2 nvidia-h100-80g asked "
                                              "for")));
  EXPECT_EQ(why.queue_position, 2);
  EXPECT_EQ(why.smallest_change, "would start now with 1 nvidia-h100-80g instead of 2");
  job.gates = {"waits for job-x (afterok)"};
  EXPECT_EQ(Why(job).reasons[0], "waits for job-x (afterok)");
  EXPECT_OK(QuotaCanEverAdmit(state_.queues, job));
  JobView large = Gang("l", 4, 1000, 1);
  EXPECT_THAT(QuotaCanEverAdmit(state_.queues, large),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("quota can never admit the job"),
                             HasSubstr("the largest it admits is 2 tasks"))));
}

TEST_F(ExplainTest, ReservedPlacesAndAShorterLimitThatBackfills) {
  SetNode(state_, MakeNode("a", 64'000, 8));
  JobView runs = Gang("runs", 1, 1000, 6);
  runs.time_limit = absl::Hours(3);
  Run(runs);
  JobView wide = Gang("wide", 1, 1000, 8);
  wide.time_limit = absl::Hours(1);
  SetJob(state_, wide);
  JobView job = Gang("j", 1, 1000, 2);
  job.sequence = 1;
  job.time_limit = absl::Hours(5);
  const Explanation why = Why(job);
  EXPECT_THAT(why.reasons, Contains("a: kept for wide, planned to start 2023-11-15 01:13 UTC"));
  EXPECT_EQ(why.smallest_change, "would start now with a time limit of 3h instead of 5h");
  EXPECT_EQ(why.planned_start, kNow + absl::Hours(4));
  EXPECT_EQ(Explain(state_, policy_, "wide", kNow).planned_start, kNow + absl::Hours(3));
}

TEST_F(ExplainTest, WhatIfLeavesTheStateAsItWas) {
  SetNode(state_, MakeNode("a", 4000, 2));
  Run(Gang("runs", 1, 1000, 1));
  const WhatIf fits = PlanWhatIf(state_, policy_, Gang("", 1, 1000, 1), kNow);
  ASSERT_THAT(fits.placement.tasks, SizeIs(1));
  EXPECT_EQ(fits.placement.tasks[0].node, "a");
  EXPECT_EQ(fits.explanation.planned_start, kNow);
  const WhatIf waits = PlanWhatIf(state_, policy_, Gang("runs", 2, 1000, 1), kNow);
  EXPECT_THAT(waits.placement.tasks, IsEmpty());
  EXPECT_EQ(waits.explanation.smallest_change, "would start now with 1 task instead of 2");
  EXPECT_EQ(state_.jobs.size(), 1);
  EXPECT_THAT(CheckInvariants(state_), IsEmpty());
}

TEST_F(ExplainTest, WhatIfNamesWhomItWouldEvict) {
  SetNode(state_, MakeNode("a", 4000, 2));
  Run(Gang("runs", 1, 1000, 2));
  JobView urgent = Gang("u", 1, 1000, 1);
  urgent.priority = 5;
  const WhatIf what_if = PlanWhatIf(state_, policy_, urgent, kNow + absl::Hours(1));
  EXPECT_THAT(what_if.explanation.would_evict, ElementsAre("runs"));
  EXPECT_FALSE(state_.jobs.Find("runs")->stopping);
  EXPECT_THAT(CheckInvariants(state_), IsEmpty());
}

TEST_F(ExplainTest, FeasibilityNamesTheLargestThatFits) {
  EXPECT_OK(CanEverFit(state_, Gang("j", 9, 99'000)));
  SetNode(state_, MakeNode("node-a", 2000, 1));
  SetNode(state_, MakeNode("node-b", 1000));
  Run(Gang("runs", 2, 1000));
  EXPECT_OK(CanEverFit(state_, Gang("j", 3, 1000)));
  EXPECT_THAT(
      CanEverFit(state_, Gang("j", 4, 1000)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the largest that fits is 3 tasks")));
  EXPECT_THAT(CanEverFit(state_, Gang("j", 1, 2500)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the largest node, node-a, has 2 CPUs (2000m)")));
  EXPECT_THAT(CanEverFit(state_, Gang("j", 1, 1000, 2)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the most on one node is 1 (node-a)")));
  JobView unknown = Gang("j", 1, 1000, 1);
  unknown.shape.devices[0].kind = "tpu";
  EXPECT_THAT(CanEverFit(state_, unknown),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("no node has a device of kind tpu"),
                             HasSubstr("the fabric's kinds: nvidia-h100-80g"))));
  JobView elastic = Gang("j", 4, 1000);
  elastic.tasks_min = 2;
  EXPECT_OK(CanEverFit(state_, elastic));
}

TEST(DescribeTest, SharesAndRanges) {
  JobView job = Gang("j", 4, 500, 1);
  job.tasks_min = 2;
  job.shape.memory_bytes = int64_t{3} << 29;
  job.shape.devices[0].milli = 300;
  EXPECT_EQ(DescribeNeed(job),
            "needs 2 to 4 tasks with 0.5 CPU, 1.5 GiB and 0.3 of a nvidia-h100-80g each");
  EXPECT_EQ(FormatNumber(1234567), "1,234,567");
}

}  // namespace
}  // namespace oneai::fabric
