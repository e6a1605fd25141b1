#include "model_platform/evaluate/evaluate_run.h"

#include <atomic>
#include <filesystem>
#include <map>
#include <string>

#include "base/files/files.h"
#include "testing/fake_datasets.h"
#include "testing/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EvaluateRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    testing::WriteTinyModel(root_ / "model", 0.1f);
    models_.model.set_name("retail/bard");
    models_.model.set_version(3);
    models_.model.set_path((root_ / "model").string());
    task_.job_id = "job9";
    task_.metrics_file = root_ / "metrics.jsonl";
    settings_.model = "retail/bard@champion";
    settings_.dataset = "retail/plays";
  }
  absl::Status Run() { return RunEvaluate(settings_, {task_, datasets_, models_, "test", stop_}); }
  const google::protobuf::Map<std::string, double>& Metrics() {
    return models_.attached.back().evaluation().metrics();
  }
  // 100 documents of ten bytes.
  static std::string Plays() {
    std::string text;
    for (int i = 100; i < 200; ++i) text += "line " + std::to_string(i) + "ab\n\n";
    return text;
  }

  std::filesystem::path root_;
  TaskEnvironment task_;
  EvaluateSettings settings_;
  testing::FakeDatasets datasets_{std::map<std::string, std::string>{{"plays.txt", Plays()}}};
  testing::FakeRegistry models_;
  std::atomic<bool> stop_ = false;
};

TEST_F(EvaluateRunTest, AttachesTheHeldOutSplitOfTheModelsOwnTraining) {
  PretrainSettings training;
  training.dataset = "retail/plays";
  training.split_dataset_ratio = 0.3;
  training.max_steps = 1;
  training.model.hidden_size = training.model.intermediate_size = 32;
  training.model.num_hidden_layers = training.model.num_attention_heads = 1;
  models_.model.mutable_lineage()->set_config_json(CanonicalJson(training));
  ASSERT_OK(Run());
  EXPECT_THAT(datasets_.opened, ElementsAre("retail/plays for evaluation"));
  ASSERT_THAT(models_.attached, SizeIs(1));
  EXPECT_EQ(models_.attached[0].ref(), "retail/bard@3");
  EXPECT_EQ(models_.attached[0].evaluation().job_id(), "job9");
  const double held_out = Metrics().at("documents");
  EXPECT_GT(held_out, 10);
  EXPECT_LT(held_out, 60);
  EXPECT_EQ(Metrics().at("bytes"), 10 * held_out);
  EXPECT_GT(Metrics().at("bits_per_byte"), 0);
  EXPECT_THAT(*ReadFile(task_.metrics_file), HasSubstr("evaluation.attached"));

  settings_.split = "train";
  ASSERT_OK(Run());
  EXPECT_EQ(Metrics().at("documents"), 100 - held_out);
  settings_.split = "all";
  ASSERT_OK(Run());
  EXPECT_EQ(Metrics().at("documents"), 100);
}

TEST_F(EvaluateRunTest, UnknownSplitIsAnErrorThatSaysWhatToSet) {
  EXPECT_THAT(
      Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("set split_dataset_ratio")));
  EXPECT_THAT(models_.attached, IsEmpty());
  settings_.split_dataset_ratio = 0.5;
  EXPECT_OK(Run());
}

TEST_F(EvaluateRunTest, ForbiddenPurposeStopsTheJob) {
  settings_.split = "all";
  datasets_.forbidden_purpose = "evaluation";
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("rule no-evaluation")));
}

}  // namespace
}  // namespace oneai::platform
