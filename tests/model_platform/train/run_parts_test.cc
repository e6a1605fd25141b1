// The parts of a run that need no LibTorch: schedule, state, metrics, environment.
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <string>

#include "base/files/files.h"
#include "model_platform/train/lr_schedule.h"
#include "model_platform/train/metrics_log.h"
#include "model_platform/train/task_environment.h"
#include "model_platform/train/trainer_state.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

PretrainSettings Schedule() {
  PretrainSettings s;
  s.learning_rate = 1.0;
  s.min_lr_ratio = 0;
  s.warmup_steps = 10;
  s.max_steps = 100;
  s.num_decay_steps = 20;
  return s;
}

// Known answers computed with transformers' schedules (steps 10 and later; the warm-up differs, see
// the header).
TEST(LearningRateTest, CosineIsThatOfTransformers) {
  const PretrainSettings s = Schedule();
  const std::map<int64_t, double> expected = {{10, 1.0},
                                              {11, 0.9996954135095479},
                                              {50, 0.5868240888334653},
                                              {80, 0.11697777844051105},
                                              {99, 0.00030458649045211894},
                                              {100, 0.0}};
  for (const auto& [step, value] : expected) EXPECT_NEAR(LearningRate(s, step), value, 1e-12);
}

TEST(LearningRateTest, WsdIsThatOfTransformers) {
  PretrainSettings s = Schedule();
  s.lr_scheduler_type = LrScheduler::kWsd;
  s.min_lr_ratio = 0.1;
  const std::map<int64_t, double> cosine = {
      {10, 1.0}, {79, 1.0}, {80, 1.0}, {81, 0.994459753267812}, {90, 0.55}, {100, 0.1}};
  for (const auto& [step, value] : cosine) EXPECT_NEAR(LearningRate(s, step), value, 1e-12);
  s.min_lr_ratio = 0;
  s.decay_type = LrDecay::kMinusSqrt;
  EXPECT_NEAR(LearningRate(s, 81), 0.7763932022500211, 1e-12);
  EXPECT_NEAR(LearningRate(s, 99), 0.025320565519103666, 1e-12);
  s.decay_type = LrDecay::kLinear;
  EXPECT_NEAR(LearningRate(s, 85), 0.75, 1e-12);
}

TEST(LearningRateTest, WarmUpRisesFromTheFirstStepOn) {
  const PretrainSettings s = Schedule();
  EXPECT_NEAR(LearningRate(s, 0), 0.1, 1e-12);
  EXPECT_NEAR(LearningRate(s, 9), 1.0, 1e-12);
}

TEST(TrainerStateTest, RoundTripIsExact) {
  TrainerState state;
  state.step = 120;
  state.consumed_samples = 1920;
  state.optimizer_steps = 119;
  state.skipped_steps = 1;
  state.seed = 42;
  state.world_size = 2;
  state.settings_sha256 = "ab";
  state.dataset = "a/b@1";
  state.dataset_sha256 = "cd";
  state.losses = {1.0 / 3, 4.999999999999999, 7e-300};
  ASSERT_OK_AND_ASSIGN(const TrainerState again, ParseTrainerState(ToJson(state), "state"));
  EXPECT_EQ(again, state);
  state.losses = {std::numeric_limits<double>::quiet_NaN()};
  ASSERT_OK_AND_ASSIGN(const TrainerState with_nan, ParseTrainerState(ToJson(state), "state"));
  EXPECT_TRUE(std::isnan(with_nan.losses[0]));
}

TEST(TrainerStateTest, DamageIsDataLossNamingTheKey) {
  EXPECT_THAT(ParseTrainerState("{", "state"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("state")));
  EXPECT_THAT(ParseTrainerState(R"({"step": -1})", "state"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("step")));
}

TEST(MetricsLogTest, WritesOneObjectALine) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "metrics.jsonl";
  std::filesystem::remove(file);
  {
    ASSERT_OK_AND_ASSIGN(auto log, MetricsLog::Open(file));
    log->Step(5, absl::FromUnixMillis(1234),
              {{"loss", 2.5}, {"grad_norm", std::numeric_limits<double>::infinity()}});
    log->Event("checkpoint.saved", 5, "two\nlines", {{"path", "checkpoint-5"}});
  }
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(file));
  EXPECT_EQ(text,
            "{\"loss\":2.5,\"step\":5,\"unix_ms\":1234}\n"
            "{\"event\":\"checkpoint.saved\",\"message\":\"two\\nlines\",\"path\":\"checkpoint-5\","
            "\"step\":5}\n");
  ASSERT_OK_AND_ASSIGN(auto silent, MetricsLog::Open(""));
  silent->Step(1, absl::FromUnixMillis(1), {});
}

class TaskEnvironmentTest : public ::testing::Test {
 protected:
  absl::StatusOr<TaskEnvironment> Read() {
    return ReadTaskEnvironment([this](const char* name) -> std::optional<std::string> {
      const auto found = values_.find(name);
      return found == values_.end() ? std::nullopt : std::optional<std::string>(found->second);
    });
  }
  std::map<std::string, std::string> values_ = {{"RANK", "1"},
                                                {"WORLD_SIZE", "2"},
                                                {"MASTER_ADDR", "127.0.0.1"},
                                                {"MASTER_PORT", "2950"},
                                                {"ONEAI_JOB_ID", "j1"},
                                                {"ONEAI_ATTEMPT", "3"},
                                                {"ONEAI_TASK_DIR", "t"},
                                                {"ONEAI_ARTIFACT_DIR", "a"},
                                                {"ONEAI_REGISTRY_DIR", "r"},
                                                {"ONEAI_CONTROLLER", "c:1"},
                                                {"ONEAI_METRICS_FILE", "m"},
                                                {"OMP_NUM_THREADS", "4"}};
};

TEST_F(TaskEnvironmentTest, ReadsWhatTheAgentSets) {
  ASSERT_OK_AND_ASSIGN(const TaskEnvironment task, Read());
  EXPECT_EQ(task.rank, 1);
  EXPECT_EQ(task.world_size, 2);
  EXPECT_EQ(task.attempt, 3);
  EXPECT_EQ(task.num_threads, 4);
}

TEST_F(TaskEnvironmentTest, NamesWhatIsWrong) {
  values_["RANK"] = "2";
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("RANK")));
  values_["RANK"] = "0";
  values_.erase("ONEAI_ARTIFACT_DIR");
  EXPECT_THAT(Read(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ONEAI_ARTIFACT_DIR")));
  values_.erase("MASTER_PORT");
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("MASTER_PORT")));
}

}  // namespace
}  // namespace oneai::platform
