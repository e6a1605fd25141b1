#include "model_platform/evaluate/perplexity.h"

#include <cmath>
#include <filesystem>
#include <numeric>
#include <vector>

#include "model_platform/evaluate/rolling_windows.h"
#include "testing/tiny_model.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RollingWindowsTest, FollowTheHarness) {
  EXPECT_THAT(RollingWindows(0, 4), IsEmpty());
  EXPECT_THAT(RollingWindows(3, 4), ElementsAre(RollingWindow{0, 3, 3}));
  EXPECT_THAT(RollingWindows(4, 4), ElementsAre(RollingWindow{0, 4, 4}));
  // The last window is of full length but scores the two that are left.
  EXPECT_THAT(RollingWindows(10, 4),
              ElementsAre(RollingWindow{0, 4, 4}, RollingWindow{4, 4, 4}, RollingWindow{6, 4, 2}));
}

TEST(RollingWindowsTest, ScoreEveryTokenOnce) {
  for (int64_t num_tokens = 0; num_tokens < 40; ++num_tokens) {
    int64_t scored = 0;
    for (const RollingWindow& w : RollingWindows(num_tokens, 7)) {
      EXPECT_LE(w.input_count, 7);
      EXPECT_EQ(w.input_begin + w.input_count - w.score_count, scored);
      scored += w.score_count;
    }
    EXPECT_EQ(scored, num_tokens);
  }
}

TEST(PerplexityMetricsTest, KnownAnswer) {
  const auto metrics = PerplexityMetrics({-120.5 - 80.25, 62, 210 + 131, 2});
  EXPECT_NEAR(metrics.at("byte_perplexity"), 1.801662189523884, 1e-12);
  EXPECT_NEAR(metrics.at("bits_per_byte"), 0.8493285321362447, 1e-12);
  EXPECT_NEAR(metrics.at("perplexity"), 25.480239388335956, 1e-9);
  EXPECT_EQ(PerplexityMetrics({}).count("perplexity"), 0u);
}

TEST(PerplexityScorerTest, AUniformModelHasThePerplexityOfItsVocabulary) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / "uniform_model";
  const int64_t vocab_size = testing::WriteTinyModel(folder, 0.0f);
  ASSERT_OK_AND_ASSIGN(const auto model, models::CpuModel::Load(folder, {.num_threads = 1}));
  ASSERT_OK_AND_ASSIGN(PerplexityScorer scorer, PerplexityScorer::Create(model.get(), 8, 0));
  std::vector<int32_t> document(1000);
  std::iota(document.begin(), document.end(), 0);
  for (int32_t& id : document) id %= static_cast<int32_t>(vocab_size);
  ASSERT_OK(scorer.Add(document, 3000));
  ASSERT_OK(scorer.Add(std::vector<int32_t>{1}, 4));
  ASSERT_OK_AND_ASSIGN(const PerplexityTotals totals, scorer.Finish());
  EXPECT_EQ(totals.num_tokens, 1001);
  EXPECT_EQ(totals.num_documents, 2);
  EXPECT_NEAR(totals.log_likelihood, -1001 * std::log(static_cast<double>(vocab_size)), 1e-3);
}

// The windows of one document, scored together or alone, give the same sum: rows do not depend on
// their neighbours.
TEST(PerplexityScorerTest, BatchingDoesNotChangeTheSum) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "tiny_model";
  testing::WriteTinyModel(folder, 0.5f);
  ASSERT_OK_AND_ASSIGN(const auto model, models::CpuModel::Load(folder, {.num_threads = 1}));
  const std::vector<std::vector<int32_t>> documents = {{5, 6, 7, 8, 9, 10}, {11, 12}, {13, 5, 7}};
  double alone = 0;
  for (const auto& document : documents) {
    ASSERT_OK_AND_ASSIGN(PerplexityScorer scorer, PerplexityScorer::Create(model.get(), 4, 0));
    ASSERT_OK(scorer.Add(document, 1));
    alone += scorer.Finish()->log_likelihood;
  }
  ASSERT_OK_AND_ASSIGN(PerplexityScorer together, PerplexityScorer::Create(model.get(), 4, 0));
  for (const auto& document : documents) ASSERT_OK(together.Add(document, 1));
  EXPECT_NEAR(together.Finish()->log_likelihood, alone, 1e-9);
}

}  // namespace
}  // namespace oneai::platform
