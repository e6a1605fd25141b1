#include "model_platform/train/checkpoint_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/files/files.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckpointFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(::testing::TempDir()) /
           ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  absl::Status Save(int64_t step, const std::string& content) {
    return PublishFolder(dir_, CheckpointName(step), AttemptFence(dir_, 1),
                         [&](const fs::path& folder) {
                           fs::create_directory(folder / "trainer");
                           std::ofstream(folder / "weights") << content;
                           std::ofstream(folder / "trainer" / "state") << content << " state";
                           return absl::OkStatus();
                         });
  }
  int64_t NewestWhole() {
    broken_.clear();
    const auto found =
        FindNewestWhole(dir_, [&](const FoundCheckpoint& broken, const absl::Status& why) {
          broken_.push_back(std::to_string(broken.step) + ": " + std::string(why.message()));
        });
    return found.has_value() ? found->step : -1;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("attempt")) names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
  }

  fs::path dir_;
  std::vector<std::string> broken_;
};

TEST_F(CheckpointFolderTest, PublishedFoldersVerifyAndTheNewestIsFound) {
  ASSERT_OK(Save(10, "a"));
  ASSERT_OK(Save(9, "b"));
  EXPECT_OK(VerifyFolder(dir_ / "checkpoint-10"));
  EXPECT_EQ(NewestWhole(), 10);
  EXPECT_THAT(broken_, IsEmpty());
}

TEST_F(CheckpointFolderTest, FailedWriteKeepsWhatWasThere) {
  ASSERT_OK(Save(10, "old"));
  const absl::Status status =
      PublishFolder(dir_, CheckpointName(10), AttemptFence(dir_, 1), [&](const fs::path& folder) {
        std::ofstream(folder / "weights") << "half";
        return absl::ResourceExhaustedError("disk full");
      });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("disk full")));
  EXPECT_THAT(Names(), ElementsAre("checkpoint-10"));
  EXPECT_OK(VerifyFolder(dir_ / "checkpoint-10"));
  EXPECT_EQ(*ReadFile(dir_ / "checkpoint-10" / "weights"), "old");
}

TEST_F(CheckpointFolderTest, RepeatedStepReplacesTheFolder) {
  ASSERT_OK(Save(10, "old"));
  ASSERT_OK(Save(10, "new"));
  EXPECT_EQ(*ReadFile(dir_ / "checkpoint-10" / "weights"), "new");
  EXPECT_THAT(Names(), ElementsAre("checkpoint-10"));
}

TEST_F(CheckpointFolderTest, BrokenOnesArePassedOverByName) {
  ASSERT_OK(Save(10, "good"));
  ASSERT_OK(Save(20, "torn"));
  ASSERT_OK(Save(30, "altered"));
  ASSERT_OK(Save(40, "no manifest"));
  fs::remove(dir_ / "checkpoint-20" / "trainer" / "state");
  std::ofstream(dir_ / "checkpoint-30" / "weights") << "ALTERED";
  fs::remove(dir_ / "checkpoint-40" / "manifest.json");
  EXPECT_EQ(NewestWhole(), 10);
  EXPECT_THAT(broken_, ElementsAre(HasSubstr("manifest.json"), HasSubstr("checkpoint-30/weights"),
                                   HasSubstr("trainer/state")));
  EXPECT_THAT(VerifyFolder(dir_ / "checkpoint-30"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("SHA-256")));
}

TEST_F(CheckpointFolderTest, ManifestCannotPointOutside) {
  ASSERT_OK(Save(10, "x"));
  ASSERT_OK(
      WriteFileAtomically(dir_ / "checkpoint-10" / "manifest.json",
                          R"({"files":[{"path":"../secret","size_bytes":1,"sha256":"00"}]})"));
  EXPECT_THAT(VerifyFolder(dir_ / "checkpoint-10"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("secret")));
}

TEST_F(CheckpointFolderTest, PruneKeepsTheNewestAndRemovesLeftOvers) {
  for (const int64_t step : {5, 100, 20, 15}) ASSERT_OK(Save(step, "x"));
  fs::create_directory(dir_ / ".tmp-1-checkpoint-25");
  fs::create_directory(dir_ / "final");
  ASSERT_OK(PruneCheckpoints(dir_, 2, AttemptFence(dir_, 1)));
  EXPECT_THAT(Names(), ElementsAre("checkpoint-100", "checkpoint-20", "final"));
}

TEST_F(CheckpointFolderTest, StaleAttemptPublishesNothing) {
  ASSERT_OK(AttemptFence(dir_, 1).Enter());
  ASSERT_OK(Save(10, "of attempt 1"));
  ASSERT_OK(AttemptFence(dir_, 2).Enter());
  EXPECT_THAT(Save(20, "late"), StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt 2")));
  EXPECT_THAT(AttemptFence(dir_, 1).Enter(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt 2")));
  EXPECT_THAT(PruneCheckpoints(dir_, 1, AttemptFence(dir_, 1)),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("attempt 2")));
  EXPECT_THAT(Names(), ElementsAre("checkpoint-10"));
  EXPECT_OK(AttemptFence(dir_, 2).Enter());  // the same attempt may enter again
}

}  // namespace
}  // namespace oneai::platform
