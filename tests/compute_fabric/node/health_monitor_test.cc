#include "compute_fabric/node/health_monitor.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1'000);

TEST(UpdateChecksTest, ABrokenDeviceIsACheckThatPassesAgainLater) {
  const auto broken = UpdateChecks({}, {{"gpu-3", "Xid 79"}}, std::nullopt, kStart);
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_EQ(broken[0].name, "device:gpu-3");
  EXPECT_FALSE(broken[0].healthy);
  const auto still =
      UpdateChecks(broken, {{"gpu-3", "Xid 79"}}, std::nullopt, kStart + absl::Seconds(5));
  EXPECT_EQ(still[0].since, kStart);
  const auto back = UpdateChecks(still, {}, std::nullopt, kStart + absl::Seconds(9));
  ASSERT_EQ(back.size(), 1u);
  EXPECT_TRUE(back[0].healthy);
  EXPECT_EQ(back[0].since, kStart + absl::Seconds(9));
}

TEST(UpdateChecksTest, TheProbesLastWordStandsUntilItsNext) {
  const CheckResult failed = {"probe", false, "no", kStart};
  const auto first = UpdateChecks({}, {}, failed, kStart);
  const auto later = UpdateChecks(first, {}, std::nullopt, kStart + absl::Seconds(1));
  ASSERT_EQ(later.size(), 1u);
  EXPECT_FALSE(later[0].healthy);
}

std::optional<NodeHealth> WaitForChange(HealthMonitor& monitor) {
  for (int i = 0; i < 500; ++i) {
    if (auto health = monitor.TakeIfChanged()) return health;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return std::nullopt;
}

ProbeOptions Probe(const std::string& script) {
  ProbeOptions probe;
  probe.argv = {"/bin/sh", "-c", script};
  probe.timeout = absl::Milliseconds(300);
  probe.output_file = absl::StrCat(::testing::TempDir(), "/probe.", getpid());
  return probe;
}

TEST(HealthMonitorTest, AFailedProbeSaysWhatItWroteLast) {
  HealthMonitor monitor({}, Probe("echo first; echo the disk is slow; exit 3"));
  monitor.Start();
  const auto health = WaitForChange(monitor);
  ASSERT_TRUE(health.has_value());
  EXPECT_FALSE(health->checks[0].healthy);
  EXPECT_THAT(health->checks[0].message, HasSubstr("exited with 3: the disk is slow"));
}

TEST(HealthMonitorTest, AProbeThatHangsIsKilledAndHasFailed) {
  HealthMonitor monitor({}, Probe("sleep 60"));
  monitor.Start();
  const auto health = WaitForChange(monitor);
  ASSERT_TRUE(health.has_value());
  EXPECT_THAT(health->checks[0].message, HasSubstr("did not end within"));
}

TEST(HealthMonitorTest, AsksItsSourcesAgainAndAgain) {
  std::atomic<bool> broken = false;
  HealthMonitor monitor({[&] {
                          std::map<std::string, std::string> result;
                          if (broken) result["asic-0"] = "overheated";
                          return result;
                        }},
                        {}, absl::Milliseconds(10));
  monitor.Start();
  broken = true;
  auto health = WaitForChange(monitor);
  ASSERT_TRUE(health.has_value());
  EXPECT_EQ(health->broken_devices.at("asic-0"), "overheated");
  broken = false;
  health = WaitForChange(monitor);
  ASSERT_TRUE(health.has_value());
  EXPECT_TRUE(health->broken_devices.empty());
  EXPECT_TRUE(health->checks[0].healthy);
}

}  // namespace
}  // namespace oneai::fabric
