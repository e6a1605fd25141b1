#include "compute_fabric/jobs/job_array.h"

#include <cmath>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

void AddParameter(v1::JobSpec& spec, std::string name, std::vector<std::string> values) {
  v1::SweepParameter& parameter = *spec.mutable_sweep()->add_parameters();
  parameter.set_name(name);
  for (std::string& value : values) parameter.add_values(std::move(value));
}

TEST(ArrayIndicesTest, TakesRangesListsStepsAndTheRunningBound) {
  ASSERT_OK_AND_ASSIGN(ArrayIndices some, ParseArrayIndices("7,0-6:3,2%4"));
  EXPECT_THAT(some.indices, ElementsAre(0, 2, 3, 6, 7));
  EXPECT_EQ(some.running_max, 4);
  ASSERT_OK_AND_ASSIGN(some, ParseArrayIndices("5"));
  EXPECT_THAT(some.indices, ElementsAre(5));
  EXPECT_EQ(some.running_max, 0);
}

TEST(ArrayIndicesTest, RefusesWithTheNearestValidValue) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no number"},
      {"a-b", "no number"},
      {"9-3", "\"3-9\""},
      {"0-9:0", "step 0"},
      {"-1", "no number"},
      {"0-99999999999999999999", "no number"},
      {"0-9%0", "nearest valid value is 1"},
      {"0-9999999", "more than 10000 jobs"},
  };
  for (const auto& [text, hint] : cases) {
    EXPECT_THAT(ParseArrayIndices(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(hint)))
        << text;
  }
}

TEST(ExpandArrayTest, AGridVariesItsLastParameterFastest) {
  v1::JobSpec spec;
  AddParameter(spec, "a", {"1", "2"});
  AddParameter(spec, "b", {"x", "y", "z"});
  ASSERT_OK_AND_ASSIGN(const auto points, ExpandArray(spec));
  ASSERT_EQ(points.size(), 6u);
  EXPECT_EQ(points[4].index, 4);
  EXPECT_THAT(points[4].values, ElementsAre(Pair("a", "2"), Pair("b", "y")));
}

TEST(ExpandArrayTest, RandomPointsFollowTheSeedAndStayWithinTheirRange) {
  v1::JobSpec spec;
  AddParameter(spec, "lr", {});
  spec.mutable_sweep()->mutable_parameters(0)->set_min(1e-5);
  spec.mutable_sweep()->mutable_parameters(0)->set_max(1e-1);
  spec.mutable_sweep()->mutable_parameters(0)->set_log_scale(true);
  AddParameter(spec, "bs", {"8", "16"});
  spec.mutable_sweep()->set_num_samples(200);
  spec.mutable_sweep()->set_seed(7);
  ASSERT_OK_AND_ASSIGN(const auto points, ExpandArray(spec));
  ASSERT_OK_AND_ASSIGN(const auto again, ExpandArray(spec));
  ASSERT_EQ(points.size(), 200u);
  int below = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    EXPECT_EQ(points[i].values, again[i].values);
    double lr = 0;
    ASSERT_TRUE(absl::SimpleAtod(points[i].values[0].second, &lr));
    EXPECT_GE(lr, 1e-5);
    EXPECT_LE(lr, 1e-1);
    below += lr < 1e-3 ? 1 : 0;
  }
  EXPECT_NEAR(below, 100, 30) << "log-uniform: half of it lies below the geometric middle";
}

TEST(ExpandArrayTest, RefusesWhatCannotBeMeant) {
  v1::JobSpec both;
  both.mutable_array()->set_indices("0-1");
  AddParameter(both, "a", {"1"});
  v1::JobSpec empty_grid;
  AddParameter(empty_grid, "a", {});
  v1::JobSpec huge;
  for (const char* name : {"a", "b", "c", "d", "e"})
    AddParameter(huge, name, std::vector<std::string>(100, "1"));
  v1::JobSpec twice;
  AddParameter(twice, "a", {"1"});
  AddParameter(twice, "a", {"2"});
  v1::JobSpec backwards;
  AddParameter(backwards, "a", {});
  backwards.mutable_sweep()->mutable_parameters(0)->set_min(2);
  backwards.mutable_sweep()->mutable_parameters(0)->set_max(1);
  backwards.mutable_sweep()->set_num_samples(3);
  v1::JobSpec contradiction;
  contradiction.mutable_array()->set_indices("0-9%4");
  contradiction.mutable_array()->set_running_max(5);
  const std::pair<v1::JobSpec, const char*> cases[] = {
      {both, "set one of them"}, {empty_grid, "is empty"},           {huge, "num_samples 10000"},
      {twice, "named twice"},    {backwards, "must be above min 2"}, {contradiction, "is 4"},
  };
  for (const auto& [spec, hint] : cases)
    EXPECT_THAT(ExpandArray(spec), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(hint)));
}

TEST(SpecOfPointTest, ReplacesParametersAndNothingElse) {
  v1::JobSpec spec;
  spec.add_command("sh");
  spec.add_command("train --lr ${lr} --rank ${RANK} ${lr}");
  (*spec.mutable_env())["TAG"] = "lr-${lr}";
  spec.set_config_json(R"({"learning_rate": "${lr}", "name": "run-${who}", "who": "${who}"})");
  AddParameter(spec, "lr", {"0.5"});
  const v1::JobSpec one = SpecOfPoint(spec, {0, {{"lr", "0.5"}, {"who", "a\"b"}}});
  EXPECT_EQ(one.command(1), "train --lr 0.5 --rank ${RANK} 0.5");
  EXPECT_EQ(one.env().at("TAG"), "lr-0.5");
  EXPECT_EQ(one.config_json(), R"({"learning_rate": 0.5, "name": "run-a\"b", "who": "a\"b"})");
  EXPECT_FALSE(one.has_sweep());
}

TEST(IdOfArrayJobTest, IsTheSameForTheSameJobAndDiffersAmongJobs) {
  std::set<std::string> ids;
  for (int i = 0; i < kArrayJobsMax; ++i) ids.insert(IdOfArrayJob("array-abc", i));
  EXPECT_EQ(ids.size(), static_cast<size_t>(kArrayJobsMax));
  EXPECT_EQ(ids.count(IdOfArrayJob("array-abc", 17)), 1u);
  EXPECT_EQ(ids.count(IdOfArrayJob("array-abd", 17)), 0u);
  EXPECT_EQ(IdOfArrayJob("array-abc", 17).size(), 14u);
}

}  // namespace
}  // namespace oneai::fabric
