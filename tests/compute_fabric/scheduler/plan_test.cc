#include "compute_fabric/scheduler/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/compute_fabric/scheduler/state_text.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::TextOf;

constexpr int64_t kGiB = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

NodeSpec GpuNode(const std::string& name, int num_devices) {
  NodeSpec node;
  node.name = name;
  node.cpu_milli = 64'000;
  node.memory_bytes = 512 * kGiB;
  for (int i = 0; i < num_devices; ++i) {
    node.devices.push_back(
        {.id = absl::StrCat("gpu", i), .kind = "h100", .memory_bytes = 80 * kGiB});
  }
  return node;
}

JobView Job(const std::string& id, int tasks, int32_t count, const std::string& queue = "unit") {
  JobView job;
  job.id = id;
  job.queue = queue;
  job.submitted = kNow;
  job.gang = true;
  job.tasks = tasks;
  job.tasks_min = tasks;
  job.shape.devices.push_back({.kind = "h100", .count = count});
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

std::vector<std::string> Placed(const PlanResult& result) {
  std::vector<std::string> ids;
  for (const JobPlacement& placement : result.placements) ids.push_back(placement.job_id);
  return ids;
}

TEST(PlanTest, PlacesInOrderAndLeavesTheStateAsDecided) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  JobView second = Job("second", 2, 1);
  second.sequence = 2;
  JobView first = Job("first", 1, 2);
  first.sequence = 1;
  SetJob(state, second);
  SetJob(state, first);
  const PlanResult result = Plan(state, {}, kNow);
  EXPECT_THAT(Placed(result), ElementsAre("first", "second"));
  EXPECT_EQ(state.jobs.num_waiting(), 0);
  EXPECT_EQ(state.jobs.Find("first")->started, kNow);
  EXPECT_EQ(state.cluster.free().at("h100"), 0);
  EXPECT_THAT(CheckInvariants(state), IsEmpty());
  // What was decided comes back as a record: nothing changes.
  const std::string before = TextOf(state);
  SetJob(state, *state.jobs.Find("first"));
  EXPECT_EQ(TextOf(state), before);
  EXPECT_THAT(Plan(state, {}, kNow).placements, IsEmpty());
}

TEST(PlanTest, ReturningGangsGoBeforeTheirEquals) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  JobView early = Job("early", 1, 4);
  early.submitted = kNow - absl::Hours(1);
  JobView back = Job("back", 1, 4);
  back.returning = true;
  SetJob(state, early);
  SetJob(state, back);
  EXPECT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("back"));
}

TEST(PlanTest, AWaitingJobKeepsItsPlaceFromLongerOnes) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  JobView running = Job("running", 1, 2);
  running.time_limit = absl::Hours(1);
  running.ranks.clear();
  SetJob(state, Job("holder", 1, 2));
  SetJob(state, Job("unused", 1, 1));
  RemoveJob(state, "unused");
  JobView holder = *state.jobs.Find("holder");
  holder.time_limit = absl::Hours(1);
  SetJob(state, holder);
  ASSERT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("holder"));

  JobView large = Job("large", 1, 4);
  large.sequence = 1;
  JobView longer = Job("longer", 1, 2);
  longer.time_limit = absl::Hours(2);
  longer.sequence = 2;
  JobView shorter = Job("shorter", 1, 2);
  shorter.time_limit = absl::Minutes(30);
  shorter.sequence = 3;
  SetJob(state, large);
  SetJob(state, longer);
  SetJob(state, shorter);
  const PlanResult result = Plan(state, {}, kNow + absl::Minutes(1));
  EXPECT_THAT(Placed(result), ElementsAre("shorter"));
  EXPECT_THAT(result.placements[0].reason, ::testing::HasSubstr("backfilled"));
  ASSERT_FALSE(result.planned_starts.empty());
  EXPECT_EQ(result.planned_starts[0].job_id, "large");
  EXPECT_EQ(result.planned_starts[0].start, kNow + absl::Hours(1));

  Policy skip;
  skip.head_of_line = HeadOfLine::kSkip;
  RemoveJob(state, "shorter");
  EXPECT_THAT(Placed(Plan(state, skip, kNow + absl::Minutes(1))), ElementsAre("longer"));
}

TEST(PlanTest, BlocksBehindTheHeadWhenAskedTo) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  JobView large = Job("large", 1, 8);
  large.sequence = 1;
  JobView small = Job("small", 1, 1);
  small.sequence = 2;
  SetJob(state, large);
  SetJob(state, small);
  Policy block;
  block.head_of_line = HeadOfLine::kBlock;
  EXPECT_THAT(Placed(Plan(state, block, kNow)), IsEmpty());
  EXPECT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("small"));
}

TEST(PlanTest, MaintenanceThatHasBegunClearsTheNode) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  SetJob(state, Job("job", 1, 4));
  ASSERT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("job"));
  NodeSpec held = GpuNode("a", 4);
  held.holds.push_back(
      {kNow + absl::Minutes(5), kNow + absl::Hours(1), "", "maintenance: firmware"});
  SetNode(state, held);
  EXPECT_THAT(Plan(state, {}, kNow + absl::Minutes(1)).evictions, IsEmpty());
  const PlanResult result = Plan(state, {}, kNow + absl::Minutes(5));
  ASSERT_EQ(result.evictions.size(), 1u);
  EXPECT_EQ(result.evictions[0].job_id, "job");
  EXPECT_EQ(result.evictions[0].cause, EvictionCause::kMaintenance);
  EXPECT_TRUE(state.jobs.Find("job")->stopping);
  EXPECT_THAT(Plan(state, {}, kNow + absl::Minutes(6)).evictions, IsEmpty());
}

// The job as the controller tells of it when it has stopped and waits again.
void Requeue(SchedulerState& state, const std::string& id) {
  JobView job = *state.jobs.Find(id);
  job.placed.clear();
  job.stopping = false;
  job.started = absl::InfiniteFuture();
  for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
  SetJob(state, job);
}

TEST(PlanTest, WhatAnEvictionFreesIsKeptForItsJob) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  SetJob(state, Job("low", 1, 4));
  ASSERT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("low"));
  JobView high = Job("high", 1, 2);
  high.priority = 5;
  SetJob(state, high);
  PlanResult result = Plan(state, {}, kNow + absl::Hours(1));
  ASSERT_EQ(result.evictions.size(), 1u);
  EXPECT_EQ(result.evictions[0].job_id, "low");
  EXPECT_EQ(result.evictions[0].for_job, "high");
  EXPECT_THAT(Placed(result), IsEmpty());
  EXPECT_THAT(CheckInvariants(state), IsEmpty());
  // Still stopping; somebody more important comes and finds the place promised.
  JobView higher = Job("higher", 1, 4);
  higher.priority = 9;
  higher.preemptible = false;
  SetJob(state, higher);
  result = Plan(state, {}, kNow + absl::Hours(1) + absl::Seconds(1));
  EXPECT_THAT(Placed(result), IsEmpty());
  EXPECT_THAT(result.evictions, IsEmpty());
  // It has stopped: the place is for whom it was made.
  Requeue(state, "low");
  result = Plan(state, {}, kNow + absl::Hours(1) + absl::Seconds(2));
  ASSERT_FALSE(result.placements.empty());
  EXPECT_EQ(result.placements[0].job_id, "high");
  EXPECT_THAT(state.promises, IsEmpty());
  EXPECT_THAT(CheckInvariants(state), IsEmpty());
}

TEST(PlanTest, APromiseEndsWithItsJob) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  SetJob(state, Job("low", 1, 4));
  Plan(state, {}, kNow);
  JobView high = Job("high", 1, 4);
  high.priority = 5;
  SetJob(state, high);
  ASSERT_EQ(Plan(state, {}, kNow + absl::Hours(1)).evictions.size(), 1u);
  RemoveJob(state, "high");
  Requeue(state, "low");
  EXPECT_THAT(Placed(Plan(state, {}, kNow + absl::Hours(1))), ElementsAre("low"));
  EXPECT_THAT(state.promises, IsEmpty());
}

TEST(PlanTest, ShrinksAnElasticGangBeforeItEvicts) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  JobView elastic = Job("elastic", 4, 1);
  elastic.tasks_min = 2;
  SetJob(state, elastic);
  ASSERT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("elastic"));
  JobView high = Job("high", 1, 2);
  high.priority = 5;
  SetJob(state, high);
  const PlanResult result = Plan(state, {}, kNow + absl::Hours(1));
  EXPECT_THAT(result.evictions, IsEmpty());
  ASSERT_EQ(result.resizes.size(), 1u);
  EXPECT_EQ(result.resizes[0].job_id, "elastic");
  EXPECT_EQ(result.resizes[0].tasks, 2);
}

TEST(PlanTest, QuotaOfOneQueueHoldsUpNoOther) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  ASSERT_TRUE(SetQueues(state, {{.path = "poor", .limit = {{"h100", 1'000}}}}).ok());
  SetJob(state, Job("waits", 1, 2, "poor"));
  SetJob(state, Job("runs", 1, 2, "rich"));
  EXPECT_THAT(Placed(Plan(state, {}, kNow)), ElementsAre("runs"));
}

}  // namespace
}  // namespace oneai::fabric
