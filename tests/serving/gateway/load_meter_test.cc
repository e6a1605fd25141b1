#include "serving/gateway/load_meter.h"

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

TEST(LoadMeterTest, ReadsTheMeanSinceTheLastRead) {
  FakeClock clock;
  LoadMeter meter(&clock);
  clock.Advance(absl::Milliseconds(500));
  meter.Begin("chat");
  meter.Begin("chat");
  clock.Advance(absl::Milliseconds(250));
  meter.FirstToken("chat");
  clock.Advance(absl::Milliseconds(250));
  const auto first = meter.Read();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_NEAR(first.at("chat").queued, 0.75, 1e-9);  // two for a quarter, one for a quarter
  EXPECT_NEAR(first.at("chat").in_flight, 0.25, 1e-9);
  clock.Advance(absl::Seconds(1));
  const auto second = meter.Read();
  EXPECT_NEAR(second.at("chat").queued, 1, 1e-9);
  EXPECT_NEAR(second.at("chat").in_flight, 1, 1e-9);
}

TEST(LoadMeterTest, SeesRequestsThatEndBetweenReadsAndForgetsIdleEndpoints) {
  FakeClock clock;
  LoadMeter meter(&clock);
  meter.Begin("chat");
  clock.Advance(absl::Milliseconds(100));
  meter.End("chat", false);
  meter.Begin("other");
  meter.FirstToken("other");
  clock.Advance(absl::Milliseconds(900));
  meter.End("other", true);
  const auto means = meter.Read();
  EXPECT_NEAR(means.at("chat").queued, 0.1, 1e-9);
  EXPECT_NEAR(means.at("other").in_flight, 0.9, 1e-9);
  clock.Advance(absl::Seconds(1));
  EXPECT_TRUE(meter.Read().empty());
  EXPECT_TRUE(meter.Read().empty()) << "no time has passed";
}

}  // namespace
}  // namespace oneai::serving
