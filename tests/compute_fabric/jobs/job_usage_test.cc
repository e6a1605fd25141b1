#include "compute_fabric/jobs/job_usage.h"

#include "compute_fabric/jobs/job_steps.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

absl::Time At(absl::string_view text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, &error)) << error;
  return time;
}

class JobUsageTest : public ::testing::Test {
 protected:
  JobUsageTest() {
    before_.mutable_spec()->mutable_resources()->set_cpu_milli(500);
    before_.mutable_spec()->mutable_resources()->set_memory_bytes(int64_t{2} << 30);
    v1::Task& task = *before_.add_tasks();
    task.set_attempt(1);
    task.set_state(v1::TASK_RUNNING);
    task.mutable_device()->set_kind("gpu");
    task.mutable_device()->set_count(1);
    SetTime(task.mutable_started(), At("2026-11-23T23:00:00Z"));
    after_ = before_;
  }
  void End(absl::string_view when) {
    after_.mutable_tasks(0)->set_state(v1::TASK_EXITED);
    SetTime(after_.mutable_tasks(0)->mutable_ended(), At(when));
  }
  const v1::JobUsage* Find(absl::string_view day, absl::string_view resource) {
    for (const v1::JobUsage& usage : after_.usage()) {
      if (usage.day() == day && usage.resource() == resource) return &usage;
    }
    return nullptr;
  }

  v1::Job before_;
  v1::Job after_;
  const absl::Time now_ = At("2026-11-25T00:00:00Z");
  const PricePerHour prices_ = {{"gpu", 2.0}, {"cpu", 0.1}};
};

TEST_F(JobUsageTest, IsSplitAtMidnightAndPriced) {
  End("2026-11-24T02:00:00Z");
  AccountEndedTasks(before_, after_, now_, prices_);
  ASSERT_NE(Find("2026-11-23", "gpu"), nullptr);
  EXPECT_DOUBLE_EQ(Find("2026-11-23", "gpu")->seconds(), 3600);
  EXPECT_DOUBLE_EQ(Find("2026-11-23", "gpu")->cost(), 2);
  EXPECT_DOUBLE_EQ(Find("2026-11-24", "gpu")->seconds(), 7200);
  EXPECT_DOUBLE_EQ(Find("2026-11-24", "cpu")->seconds(), 3600);
  EXPECT_DOUBLE_EQ(Find("2026-11-24", "memory")->seconds(), 14400);
  EXPECT_DOUBLE_EQ(Find("2026-11-24", "memory")->cost(), 0) << "has no price";
}

TEST_F(JobUsageTest, IsCountedOnce) {
  End("2026-11-24T02:00:00Z");
  AccountEndedTasks(before_, after_, now_, prices_);
  const v1::Job once = after_;
  AccountEndedTasks(once, after_, now_, prices_);
  EXPECT_EQ(after_.SerializeAsString(), once.SerializeAsString());
}

TEST_F(JobUsageTest, SharesOfADeviceCountAsShares) {
  for (v1::Job* job : {&before_, &after_}) {
    v1::DeviceGrant& grant = *job->mutable_tasks(0)->add_grants();
    grant.set_id("gpu-0");
    grant.set_milli(250);
  }
  End("2026-11-23T23:00:40Z");
  AccountEndedTasks(before_, after_, now_, prices_);
  EXPECT_DOUBLE_EQ(Find("2026-11-23", "gpu")->seconds(), 10);
}

TEST_F(JobUsageTest, ANodesWrongClockNeverMakesUsageFromTheFuture) {
  End("2030-01-01T00:00:00Z");
  AccountEndedTasks(before_, after_, now_, prices_);
  EXPECT_EQ(Find("2026-11-25", "gpu"), nullptr);
  EXPECT_DOUBLE_EQ(Find("2026-11-24", "gpu")->seconds(), 86400);
}

TEST_F(JobUsageTest, ATaskThatNeverStartedUsedNothing) {
  before_.mutable_tasks(0)->clear_started();
  after_.mutable_tasks(0)->clear_started();
  End("2026-11-24T02:00:00Z");
  AccountEndedTasks(before_, after_, now_, prices_);
  EXPECT_EQ(after_.usage_size(), 0);
}

}  // namespace
}  // namespace oneai::fabric
