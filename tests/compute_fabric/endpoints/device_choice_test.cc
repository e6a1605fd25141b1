#include "compute_fabric/endpoints/device_choice.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Node NodeWith(const std::string& kind, int64_t cpu_milli) {
  v1::Node node;
  node.mutable_info()->set_cpu_milli(cpu_milli);
  node.mutable_info()->add_devices()->set_kind(kind);
  return node;
}

class DeviceChoiceTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<std::string>> Choose(v1::LatencyClass latency) {
    std::vector<const v1::Node*> nodes;
    for (const v1::Node& node : nodes_) nodes.push_back(&node);
    v1::Resources resources;
    resources.set_cpu_milli(4000);
    const auto chosen = ChooseDevices(latency, resources, KindsOf(nodes), prices_, measured_);
    if (!chosen.ok()) return chosen.status();
    std::vector<std::string> words;
    double before = 2;
    for (const v1::DeviceRequest& device : *chosen) {
      EXPECT_LT(device.relative_throughput(), before) << "the scheduler orders by it";
      before = device.relative_throughput();
      words.push_back(absl::StrCat(device.count(), " x ", device.kind(), " ", device.milli()));
    }
    return words;
  }

  std::vector<v1::Node> nodes_ = {
      NodeWith("x86-amx", 16'000),   NodeWith("x86-amx", 64'000),
      NodeWith("x86-avx2", 8'000),   NodeWith("nvidia-h100-80g", 64'000),
      NodeWith("arm-bf16", 128'000), NodeWith("tpu-v9", 8'000)};
  PricePerHour prices_ = {{"cpu", 0.04}};
  LatencyClassOfKind measured_;
};

TEST_F(DeviceChoiceTest, OfEqualPriceTheSlowestThatIsFastEnoughComesFirst) {
  ASSERT_OK_AND_ASSIGN(const auto batch, Choose(v1::BATCH));
  EXPECT_THAT(batch, ElementsAre("1 x x86-avx2 500", "1 x arm-bf16 32", "1 x x86-amx 63"));
  ASSERT_OK_AND_ASSIGN(const auto standard, Choose(v1::STANDARD));
  EXPECT_THAT(standard, ElementsAre("1 x arm-bf16 32", "1 x x86-amx 63"));
}

TEST_F(DeviceChoiceTest, TheCheapestFirst) {
  prices_["arm-bf16"] = 3;
  prices_["x86-avx2"] = 0.5;
  ASSERT_OK_AND_ASSIGN(const auto batch, Choose(v1::BATCH));
  EXPECT_THAT(batch, ElementsAre("1 x x86-amx 63", "1 x arm-bf16 32", "1 x x86-avx2 500"));
}

TEST_F(DeviceChoiceTest, WhatWasMeasuredWins) {
  measured_ = {{"x86-amx", v1::INTERACTIVE}, {"arm-bf16", v1::BATCH}};
  ASSERT_OK_AND_ASSIGN(const auto interactive, Choose(v1::INTERACTIVE));
  EXPECT_THAT(interactive, ElementsAre("1 x x86-amx 63"));
}

TEST_F(DeviceChoiceTest, RefusesWithTheNearestClassAndWhatStandsInTheWay) {
  EXPECT_THAT(
      Choose(v1::INTERACTIVE),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("no device in this fabric is fast enough for interactive"),
                     HasSubstr("x86-amx (standard)"),
                     HasSubstr("nvidia-h100-80g would be, but oneai-serve runs on processors only"),
                     HasSubstr("the nearest class is standard"))));
  nodes_ = {NodeWith("tpu-v9", 8'000)};
  EXPECT_THAT(Choose(v1::BATCH), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("leave the class out, or name devices")));
}

TEST_F(DeviceChoiceTest, ClassesAsAPlatformOwnerWritesThem) {
  ASSERT_OK_AND_ASSIGN(const LatencyClassOfKind parsed,
                       ParseLatencyClasses({"x86-amx=interactive", "arm-bf16=batch"}));
  EXPECT_EQ(parsed, (LatencyClassOfKind{{"x86-amx", v1::INTERACTIVE}, {"arm-bf16", v1::BATCH}}));
  EXPECT_THAT(ParseLatencyClasses({"x86-amx=standrad"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x86-amx=standard")));
  EXPECT_THAT(ParseLatencyClasses({"x86-amx"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("KIND=CLASS")));
}

TEST_F(DeviceChoiceTest, ShippedClasses) {
  EXPECT_EQ(ShippedServingKind("hanguang-800").fastest, v1::INTERACTIVE);
  EXPECT_EQ(ShippedServingKind("x86-avx512").fastest, v1::STANDARD);
  EXPECT_EQ(ShippedServingKind("x86").fastest, v1::BATCH);
  EXPECT_FALSE(ShippedServingKind("something").runs);
}

}  // namespace
}  // namespace oneai::fabric
