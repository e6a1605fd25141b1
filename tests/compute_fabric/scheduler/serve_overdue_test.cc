#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
constexpr char kGpu[] = "gpu";

JobView Job(const std::string& id, const std::string& queue, absl::Duration waited,
            int priority = 0) {
  JobView job{.id = id, .queue = queue, .priority = priority, .submitted = kNow - waited};
  job.gang = true;
  job.line_delay = absl::Hours(24);
  job.shape.devices = {{.kind = kGpu, .count = 1}};
  job.ranks = {0};
  return job;
}

// Two devices, one of them in use by `greedy`, whose nominal is 0; `modest` uses nothing.
class ServeOverdueTest : public ::testing::Test {
 protected:
  ServeOverdueTest() {
    policy_.preemption = false;
    NodeSpec node{.name = "a", .cpu_milli = 1000};
    for (int i = 0; i < 2; ++i) node.devices.push_back({.id = absl::StrCat(i), .kind = kGpu});
    SetNode(state_, node);
    EXPECT_TRUE(SetQueues(state_, {{.path = "greedy", .nominal = {{kGpu, 0}}},
                                   {.path = "modest", .nominal = {{kGpu, 2000}}}})
                    .ok());
    SetJob(state_, Job("runs", "greedy", absl::Hours(1)));
    Plan(state_, policy_, kNow);
  }
  bool Starts(const std::string& id) { return !state_.jobs.Find(id)->placed.empty(); }

  SchedulerState state_;
  Policy policy_;
};

TEST_F(ServeOverdueTest, ADayOfWaitingGoesBeforeFairShare) {
  SetJob(state_, Job("old", "greedy", absl::Hours(25)));
  SetJob(state_, Job("new", "modest", absl::Hours(1)));
  Plan(state_, policy_, kNow);
  EXPECT_TRUE(Starts("old"));
  EXPECT_FALSE(Starts("new"));
}

TEST_F(ServeOverdueTest, UntilThenFairShareDecides) {
  SetJob(state_, Job("old", "greedy", absl::Hours(23)));
  SetJob(state_, Job("new", "modest", absl::Hours(1)));
  Plan(state_, policy_, kNow);
  EXPECT_TRUE(Starts("new"));
  EXPECT_FALSE(Starts("old"));
}

TEST_F(ServeOverdueTest, NeverBeforeMoreImportantJobsOfItsOwnQueue) {
  SetJob(state_, Job("old", "greedy", absl::Hours(90)));
  SetJob(state_, Job("urgent", "greedy", absl::Hours(1), 5));
  Plan(state_, policy_, kNow);
  EXPECT_TRUE(Starts("urgent"));
  EXPECT_FALSE(Starts("old"));
}

TEST_F(ServeOverdueTest, QuotasStillHold) {
  ASSERT_TRUE(
      SetQueues(state_, {{.path = "greedy", .nominal = {{kGpu, 0}}, .limit = {{kGpu, 1000}}},
                         {.path = "modest", .nominal = {{kGpu, 2000}}}})
          .ok());
  SetJob(state_, Job("old", "greedy", absl::Hours(90)));
  SetJob(state_, Job("new", "modest", absl::Hours(1)));
  Plan(state_, policy_, kNow);
  EXPECT_TRUE(Starts("new"));
  EXPECT_FALSE(Starts("old"));
}

}  // namespace
}  // namespace oneai::fabric
