#include "compute_fabric/endpoints/replica_scaling.h"

#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kTick = absl::Seconds(1);

// An endpoint whose replicas are ready at once.
class Endpoint {
 public:
  Endpoint(ScaleSpec spec, int replicas) : spec_(spec), replicas_(replicas) {}

  void Decide(const std::optional<EndpointLoadSum>& load) {
    const ScaleDecision decision = DecideReplicas(
        spec_, load, {replicas_, std::vector<bool>(static_cast<size_t>(replicas_), true)}, history_,
        now_);
    EXPECT_GE(decision.replicas, spec_.replicas_min);
    EXPECT_LE(decision.replicas, spec_.replicas_max);
    EXPECT_FALSE(decision.reason.empty());
    num_ups_ += decision.replicas > replicas_ ? 1 : 0;
    num_downs_ += decision.replicas < replicas_ ? 1 : 0;
    replicas_ = decision.replicas;
    reason_ = decision.reason;
    history_ = decision.history;
    now_ += kTick;
  }
  void Hold(double requests, absl::Duration time) {
    for (absl::Duration t; t < time; t += kTick) Decide(EndpointLoadSum{.in_flight = requests});
  }

  const ScaleSpec spec_;
  int replicas_;
  std::string reason_;
  ScaleHistory history_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  int num_ups_ = 0;
  int num_downs_ = 0;
};

ScaleSpec Spec(int min, int max) {
  return {.replicas_min = min, .replicas_max = max, .target_in_flight = 8};
}

TEST(ReplicaScalingTest, GoesUpAtOnceAndSaysWhy) {
  Endpoint endpoint(Spec(1, 4), 1);
  endpoint.Decide(EndpointLoadSum{.in_flight = 10, .queued = 9});
  EXPECT_EQ(endpoint.replicas_, 3);
  EXPECT_EQ(endpoint.reason_, "the load needs 3 replicas at 8 requests each");
  endpoint.Decide(EndpointLoadSum{.in_flight = 1000});
  EXPECT_EQ(endpoint.replicas_, 4);
  EXPECT_THAT(endpoint.reason_, HasSubstr("more than the most, 4 replicas"));
}

TEST(ReplicaScalingTest, GoesDownOnlyAfterAWholeQuietWindow) {
  Endpoint endpoint(Spec(1, 4), 1);
  endpoint.Hold(30, absl::Seconds(10));
  EXPECT_EQ(endpoint.replicas_, 4);
  endpoint.Hold(2, absl::Minutes(5) - absl::Seconds(5));
  EXPECT_EQ(endpoint.replicas_, 4);
  EXPECT_THAT(endpoint.reason_, HasSubstr("fewer once it has been so low for 5m"));
  endpoint.Hold(14, kTick);  // a moment of load begins it anew, for three
  endpoint.Hold(2, absl::Minutes(5) - absl::Seconds(5));
  EXPECT_EQ(endpoint.replicas_, 3);
  endpoint.Hold(2, absl::Seconds(20));
  EXPECT_EQ(endpoint.replicas_, 1);
}

TEST(ReplicaScalingTest, UnknownLoadIsNotNoLoad) {
  Endpoint endpoint(Spec(1, 4), 3);
  for (int i = 0; i < 2000; ++i) endpoint.Decide(std::nullopt);
  EXPECT_EQ(endpoint.replicas_, 3);
  EXPECT_THAT(endpoint.reason_, HasSubstr("no gateway reports"));
  endpoint.Hold(0, absl::Minutes(5) - absl::Seconds(5));
  EXPECT_EQ(endpoint.replicas_, 3) << "the window begins when the load is known again";
  endpoint.Hold(0, absl::Seconds(20));
  EXPECT_EQ(endpoint.replicas_, 1);
}

TEST(ReplicaScalingTest, BoundsThatMovedApplyAtOnce) {
  Endpoint endpoint(Spec(2, 4), 8);
  endpoint.Decide(std::nullopt);
  EXPECT_EQ(endpoint.replicas_, 4);
  Endpoint small(Spec(2, 4), 1);
  small.Decide(EndpointLoadSum{});
  EXPECT_EQ(small.replicas_, 2);
}

TEST(ReplicaScalingTest, LeavesAsManyReadyOnesAsTheLoadNeeds) {
  const ScaleSpec spec = Spec(1, 4);
  const absl::Time start = absl::FromUnixSeconds(1'000'000);
  ScaleHistory history;
  history.watched_since = start - absl::Hours(1);
  const auto decide = [&](std::vector<bool> ready, double requests) {
    return DecideReplicas(spec, EndpointLoadSum{.in_flight = requests},
                          {static_cast<int>(ready.size()), ready}, history, start);
  };
  EXPECT_EQ(decide({true, true, true, true}, 1).replicas, 1);
  // Rank 0 is not there: rank 1 must stay until it is.
  EXPECT_EQ(decide({false, true, true, true}, 1).replicas, 2);
  const ScaleDecision only_last = decide({false, false, false, true}, 1);
  EXPECT_EQ(only_last.replicas, 4);
  EXPECT_THAT(only_last.reason, HasSubstr("once those that stay are ready"));
  EXPECT_EQ(decide({true, false, true, true}, 12).replicas, 3);
}

// Whatever the target, bounds, start and constant load: after one window nothing changes any more,
// and what remains carries the load.
TEST(ReplicaScalingTest, ConvergesUnderAnyConstantLoad) {
  std::mt19937_64 random(20261123);
  const auto draw = [&](double min, double max) {
    return min + (max - min) * static_cast<double>(random() % 10'000) / 10'000;
  };
  for (int i = 0; i < 300; ++i) {
    ScaleSpec spec;
    spec.replicas_min = 1 + static_cast<int>(random() % 5);
    spec.replicas_max = spec.replicas_min + static_cast<int>(random() % 20);
    spec.target_in_flight = draw(0.5, 64);
    spec.window = absl::Seconds(30);
    const double load = draw(0, 1.2) * spec.target_in_flight * spec.replicas_max;
    Endpoint endpoint(spec, 1 + static_cast<int>(random() % 30));
    SCOPED_TRACE(absl::StrCat("case ", i));
    endpoint.Decide(EndpointLoadSum{});  // brings it within its bounds
    endpoint.num_ups_ = endpoint.num_downs_ = 0;
    endpoint.Hold(load, absl::Minutes(2));
    EXPECT_LE(endpoint.num_ups_, 1);
    EXPECT_LE(endpoint.num_downs_, 1);
    const int changes = endpoint.num_ups_ + endpoint.num_downs_;
    EXPECT_LE(changes, 1) << "up or down, never both";
    const int needed = static_cast<int>(std::ceil(load / spec.target_in_flight - 1e-6));
    EXPECT_GE(endpoint.replicas_, std::min(needed, spec.replicas_max));
    endpoint.Hold(load, absl::Minutes(5));
    EXPECT_EQ(endpoint.num_ups_ + endpoint.num_downs_, changes);
  }
}

TEST(ReplicaScalingTest, NoiseDoesNotMakeItSwing) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 50; ++i) {
    ScaleSpec spec = Spec(1, 20);
    spec.window = absl::Seconds(60);
    Endpoint endpoint(spec, 1);
    const double load = static_cast<double>(random() % 160);
    for (int tick = 0; tick < 3600; ++tick) {
      const double noise = 0.8 + 0.4 * static_cast<double>(random() % 1000) / 1000;
      endpoint.Decide(EndpointLoadSum{.in_flight = load * noise});
    }
    // A fifth of noise is within the gap between going up and going down.
    EXPECT_EQ(endpoint.num_downs_, 0) << "load " << load;
  }
}

// Replicas that are slow when they are full: fewer of them bring the load back. Each return doubles
// the window, so that a day has few changes.
TEST(ReplicaScalingTest, LoadThatComesBackWithFewerReplicasIsTriedEverLessOften) {
  Endpoint endpoint(Spec(1, 4), 1);
  for (absl::Duration t; t < absl::Hours(24); t += kTick) {
    endpoint.Decide(EndpointLoadSum{.in_flight = endpoint.replicas_ == 1 ? 12.0 : 4.0});
  }
  EXPECT_LE(endpoint.num_downs_, 24);
  EXPECT_EQ(endpoint.history_.num_returns, 4);
}

}  // namespace
}  // namespace oneai::fabric
