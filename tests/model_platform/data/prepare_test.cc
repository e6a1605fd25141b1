#include "model_platform/data/prepare.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "model_platform/data/token_file.h"
#include "testing/fake_datasets.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Corpus() {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&text, "Speaker ", i, ":\nthe quick brown fox number ", i * i,
                    " jumps over the lazy dog <|endoftext|>\n\n");
  }
  return text;
}

class PrepareDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    settings_.dataset = "retail/fox";
    settings_.split_dataset_ratio = 0.2;
    settings_.tokenizer.vocab_size = 320;
  }
  absl::StatusOr<PreparedData> Prepare() {
    return PrepareData(settings_, folder_, "/nowhere", source_);
  }

  fs::path folder_;
  PretrainSettings settings_;
  testing::FakeDatasets source_{std::map<std::string, std::string>{{"fox.txt", Corpus()}}};
};

TEST_F(PrepareDataTest, TokenisesTheTrainingSplitAlone) {
  ASSERT_OK_AND_ASSIGN(const PreparedData data, Prepare());
  EXPECT_EQ(data.train_documents + data.held_out_documents, 200);
  EXPECT_GT(data.held_out_documents, 10);
  EXPECT_LE(data.vocab_size, 320);  // the corpus may not have so many pairs
  EXPECT_GT(data.vocab_size, 270);
  EXPECT_THAT(source_.opened, ElementsAre("retail/fox for pretraining"));
  ASSERT_OK_AND_ASSIGN(const auto tokenizer, models::Tokenizer::Load(data.tokenizer_dir()));
  ASSERT_OK_AND_ASSIGN(const TokenFile tokens, TokenFile::Open(data.train_prefix()));
  ASSERT_EQ(tokens.num_documents(), data.train_documents);
  for (int64_t i = 0; i < tokens.num_documents(); ++i) {
    std::vector<int64_t> ids;
    tokens.Append(i, 0, tokens.length(i), ids);
    EXPECT_EQ(ids.front(), data.end_of_document);
    EXPECT_EQ(ids.back(), data.end_of_document);
    // A mark spelled out in the data is text, not a mark.
    EXPECT_EQ(std::ranges::count(ids, data.end_of_document), 2);
    const std::vector<models::TokenId> body(ids.begin() + 1, ids.end() - 1);
    const std::string text = tokenizer->Decode(body, models::SpecialText::kKeep);
    EXPECT_THAT(text, HasSubstr("lazy dog <|endoftext|>"));
    EXPECT_FALSE(IsHeldOut(text, 0.2));
  }
}

TEST_F(PrepareDataTest, SecondAttemptAsksAgainButReadsNothing) {
  ASSERT_OK(Prepare());
  const int reads = source_.num_reads;
  source_.version = 1;
  ASSERT_OK(Prepare());
  EXPECT_EQ(source_.num_reads, reads);
  EXPECT_THAT(source_.opened,
              ElementsAre("retail/fox for pretraining", "retail/fox@1 for pretraining"));
}

TEST_F(PrepareDataTest, WithdrawnPermissionStopsTheNextAttempt) {
  ASSERT_OK(Prepare());
  source_.forbidden_purpose = "pretraining";
  EXPECT_THAT(Prepare(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("rule no-pretraining")));
}

TEST_F(PrepareDataTest, OtherSettingsOrDamageMakeItPrepareAgain) {
  ASSERT_OK_AND_ASSIGN(const PreparedData first, Prepare());
  const int reads = source_.num_reads;
  settings_.documents.paragraphs_per_document = 2;
  ASSERT_OK_AND_ASSIGN(const PreparedData second, Prepare());
  EXPECT_NE(second.train_documents, first.train_documents);
  EXPECT_GT(source_.num_reads, reads);
  std::ofstream(folder_ / "train.bin") << "damage";
  ASSERT_OK_AND_ASSIGN(const PreparedData third, Prepare());
  EXPECT_OK(TokenFile::Open(third.train_prefix()));
  EXPECT_EQ(third.train_tokens, second.train_tokens);
}

TEST_F(PrepareDataTest, RanksWaitForTheirOwnAttempt) {
  ASSERT_OK(Prepare());
  ASSERT_OK(AnnounceReady(folder_, 1));
  EXPECT_OK(AwaitReady(folder_, 1, absl::ZeroDuration()));
  EXPECT_THAT(AwaitReady(folder_, 2, absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("rank 0")));
}

TEST_F(PrepareDataTest, EmptySplitIsSaid) {
  testing::FakeDatasets empty(std::map<std::string, std::string>{{"empty.txt", "\n\n"}});
  settings_.tokenizer.vocab_size = 300;
  EXPECT_THAT(PrepareData(settings_, folder_, "/nowhere", empty),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no document")));
}

}  // namespace
}  // namespace oneai::platform
