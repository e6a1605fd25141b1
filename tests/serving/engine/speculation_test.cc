// Guesses change nothing but the number of steps.
#include "serving/engine/model_drafter.h"
#include "serving/engine/prompt_lookup.h"
#include "tests/serving/engine/engine_fixture.h"

namespace oneai::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

TEST(PromptLookupTest, ContinuesTheLatestAndLongestMatch) {
  const auto found = [](std::vector<int32_t> tokens, int64_t num_max) {
    const absl::Span<const int32_t> span = LookUpContinuation(tokens, 2, 4, num_max);
    return std::vector<int32_t>(span.begin(), span.end());
  };
  EXPECT_THAT(found({1, 2, 3, 4, 9, 1, 2, 3}, 3), ElementsAre(4, 9, 1));
  EXPECT_THAT(found({1, 2, 7, 1, 2, 8, 1, 2}, 1), ElementsAre(8));           // the latest
  EXPECT_THAT(found({5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2}, 1), ElementsAre(7));  // the longest
  EXPECT_THAT(found({2, 9, 9, 2}, 3), IsEmpty());  // one token is no match
  EXPECT_THAT(found({3, 3, 3}, 4), ElementsAre(3));
  EXPECT_THAT(found({4}, 4), IsEmpty());
}

TEST(DraftLengthTest, GrowsWithRightGuessesAndStopsWithWrongOnes) {
  DraftLength length(8);
  for (int i = 0; i < 30; ++i) length.Record(4, 4);
  EXPECT_EQ(length.Next(0.1), 8);
  for (int i = 0; i < 40; ++i) length.Record(4, 0);
  EXPECT_EQ(length.Next(0.1), 0);
  int64_t num_tries = 0;
  for (int64_t i = 0; i < 10 * kDraftPause; ++i) num_tries += length.Next(0.1);
  EXPECT_EQ(num_tries, 10);  // it looks again from time to time
}

TEST(DraftLengthTest, DearRowsShortenIt) {
  DraftLength length(8);
  const int64_t cheap = length.Next(0.02), dear = length.Next(0.3), full = length.Next(0.9);
  EXPECT_GT(cheap, dear);
  EXPECT_GT(dear, full);
  EXPECT_EQ(full, 0);
}

// Repeats with a period of 7, so that looking back pays.
FakeRunnerOptions Periodic() {
  FakeRunnerOptions runner;
  runner.num_blocks = 128;
  runner.next = [](const std::vector<int32_t>& context) {
    return static_cast<int32_t>('a' + (context.size() % 7));
  };
  return runner;
}

EngineOptions With(Speculation speculation) {
  EngineOptions options = SmallOptions();
  options.speculation = speculation;
  return options;
}

std::unique_ptr<ModelRunner> Draft(FakeRunnerOptions options) {
  return std::make_unique<FakeRunner>(std::move(options));
}

TEST(SpeculationTest, PromptLookupSavesSteps) {
  FakeEngine plain(SmallOptions(), Periodic()),
      engine(With(Speculation::kPromptLookup), Periodic());
  const GenerationRequest request = TextRequest("cdefgabcdefg", 50);
  EXPECT_EQ(engine.Ask(request).text, plain.Ask(request).text);
  const EngineStats stats = engine->stats();
  EXPECT_LT(stats.num_steps, 20);
  EXPECT_GT(stats.num_accepted_tokens, 30);
}

TEST(SpeculationTest, APerfectDraftModelIsAlwaysRight) {
  for (double temperature : {0.0, 5.0}) {
    GenerationRequest request = TextRequest("draft", 50);
    request.sampling.temperature = temperature;
    FakeEngine plain;
    FakeEngine engine(With(Speculation::kDraftModel), {}, nullptr, Draft({}));
    EXPECT_EQ(engine.Ask(request).token_ids, plain.Ask(request).token_ids);
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.num_accepted_tokens, stats.num_draft_tokens);
    EXPECT_LT(stats.num_steps, 20);
  }
}

TEST(SpeculationTest, AWrongDraftModelIsTurnedOff) {
  FakeRunnerOptions wrong;
  wrong.next = [](const std::vector<int32_t>&) { return 'Z'; };
  FakeEngine plain;
  FakeEngine engine(With(Speculation::kDraftModel), {}, nullptr, Draft(wrong));
  const GenerationRequest request = TextRequest("draft", 50);
  EXPECT_EQ(engine.Ask(request).text, plain.Ask(request).text);
  EXPECT_EQ(engine->stats().num_accepted_tokens, 0);
  EXPECT_LT(engine->stats().num_draft_tokens, 40);
}

TEST(SpeculationTest, AFailingDraftModelIsDropped) {
  FakeRunnerOptions broken;
  broken.next = [](const std::vector<int32_t>& context) -> int32_t {
    if (context.size() > 20) throw std::runtime_error("broken");
    return 'Z';
  };
  FakeEngine plain;
  FakeEngine engine(With(Speculation::kDraftModel), {}, nullptr, Draft(broken));
  const GenerationRequest request = TextRequest("draft", 50);
  EXPECT_EQ(engine.Ask(request).text, plain.Ask(request).text);
}

TEST(SpeculationTest, ADraftCacheThatIsFullMeansFewerGuesses) {
  FakeRunnerOptions small;
  small.num_blocks = 5;
  FakeEngine plain;
  FakeEngine engine(With(Speculation::kDraftModel), {}, nullptr, Draft(small));
  const GenerationRequest request = TextRequest("draft", 50);
  EXPECT_EQ(engine.Ask(request).text, plain.Ask(request).text);
  EXPECT_GT(engine->stats().num_accepted_tokens, 0);
}

TEST(SpeculationTest, StopsAndLimitsFallInsideAGuess) {
  FakeEngine plain(SmallOptions(), Periodic()),
      engine(With(Speculation::kPromptLookup), Periodic());
  for (int64_t max_tokens = 1; max_tokens < 40; ++max_tokens) {
    GenerationRequest request = TextRequest("abcdefgabcdefg", max_tokens);
    if (max_tokens % 2 == 0) request.sampling.stop = {"gab"}, request.sampling.min_tokens = 11;
    if (request.sampling.min_tokens > max_tokens) request.sampling.min_tokens = max_tokens;
    const GenerationEvent expected = plain.Ask(request), got = engine.Ask(request);
    EXPECT_EQ(got.text, expected.text);
    EXPECT_EQ(got.token_ids, expected.token_ids);
    EXPECT_EQ(got.finish_reason, expected.finish_reason);
  }
}

TEST(SpeculationTest, ADraftModelMustFit) {
  const auto create = [](Speculation speculation, std::unique_ptr<ModelRunner> draft) {
    return Engine::Create(With(speculation), std::make_unique<FakeRunner>(FakeRunnerOptions{}),
                          TokenTable{kNumByteTokens, {}, nullptr}, nullptr, Clock::Real(),
                          std::move(draft))
        .status();
  };
  EXPECT_THAT(create(Speculation::kDraftModel, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs one")));
  EXPECT_THAT(create(Speculation::kOff, Draft({})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not use one")));
  FakeRunnerOptions narrow;
  narrow.vocab_size = 255;
  EXPECT_THAT(create(Speculation::kDraftModel, Draft(narrow)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("knows 255 tokens")));
}

TEST(SpeculationTest, TokenizersAreCompared) {
  const std::unique_ptr<models::Tokenizer> bytes = NewByteTokenizer();
  EXPECT_OK(CheckSameTokens(*bytes, *bytes));
  models::TokenizerSpec spec = ByteTokenizerSpec();
  std::swap(spec.vocab[65].second, spec.vocab[66].second);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<models::Tokenizer> other,
                       models::Tokenizer::Create(spec));
  EXPECT_THAT(CheckSameTokens(*bytes, *other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("token 65")));
}

}  // namespace
}  // namespace oneai::serving
