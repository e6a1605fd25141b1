#include "compute_fabric/controller/past_use.h"

#include <cmath>

#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);

JobRecord JobThatUsed(std::string queue, std::string day, double core_seconds) {
  auto job = std::make_shared<v1::Job>();
  job->set_id("job-" + queue + day);
  job->set_state(v1::SUCCEEDED);
  job->mutable_spec()->set_project(queue);
  v1::JobUsage& usage = *job->add_usage();
  usage.set_day(day);
  usage.set_resource(kCpu);
  usage.set_seconds(core_seconds);
  return {job, 1};
}

class PastUseTest : public ::testing::Test {
 protected:
  double DecayedCpu(const std::string& queue) {
    const QueueUse* use = tree_.FindUse(queue);
    if (use == nullptr) return 0;
    const auto cpu = use->decayed.find(kCpu);
    return cpu == use->decayed.end() ? 0 : cpu->second;
  }
  QueueTree tree_;
  const absl::Time now_ = absl::FromCivil(absl::CivilDay(2026, 11, 24), absl::UTCTimeZone());
};

TEST_F(PastUseTest, CountsRecentUseMoreThanOldUse) {
  ReplayPastUse(tree_,
                {JobThatUsed("retail/new", "2026-11-23", 86'400),
                 JobThatUsed("retail/old", "2026-11-22", 86'400)},
                kDay, now_);
  // A core for the day that ends now: integral of 2^(-t/h) over one half-life.
  const double expected = 1000 * 86'400 / std::log(2) / 2;
  EXPECT_NEAR(DecayedCpu("retail/new") / expected, 1, 1e-6);
  EXPECT_NEAR(DecayedCpu("retail/old") / expected, 0.5, 1e-6);
  EXPECT_NEAR(DecayedCpu("retail") / expected, 1.5, 1e-6) << "and of the unit that contains them";
}

TEST_F(PastUseTest, LeavesNothingInUse) {
  ReplayPastUse(tree_, {JobThatUsed("retail/new", "2026-11-23", 86'400)}, kDay, now_);
  const QueueUse* use = tree_.FindUse("retail/new");
  ASSERT_NE(use, nullptr);
  for (const auto& [resource, amount] : use->in_use) EXPECT_EQ(amount, 0) << resource;
}

TEST_F(PastUseTest, TheFutureAndTheLongPastDoNotCount) {
  ReplayPastUse(tree_,
                {JobThatUsed("retail/a", "2026-11-25", 86'400),
                 JobThatUsed("retail/b", "2026-01-01", 86'400)},
                kDay, now_);
  EXPECT_EQ(DecayedCpu("retail/a"), 0);
  EXPECT_EQ(DecayedCpu("retail/b"), 0);
}

}  // namespace
}  // namespace oneai::fabric
