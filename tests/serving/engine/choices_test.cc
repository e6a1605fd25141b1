// Several answers to one prompt, and answers that are no text.
#include <cmath>

#include "tests/serving/engine/engine_fixture.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

GenerationRequest Warm(const std::string& prompt, int64_t max_tokens, uint64_t seed) {
  GenerationRequest request = TextRequest(prompt, max_tokens);
  request.sampling.temperature = 5;
  request.sampling.seed = seed;
  return request;
}

std::vector<std::vector<int32_t>> OneByOne(FakeEngine& engine, const GenerationRequest& request) {
  std::vector<std::vector<int32_t>> expected;
  for (int32_t choice = 0; choice < request.num_choices; ++choice) {
    GenerationRequest alone = request;
    alone.num_choices = alone.best_of = 1;
    alone.sampling.seed = SeedOfChoice(request.sampling.seed, choice);
    expected.push_back(engine.Ask(alone).token_ids);
  }
  return expected;
}

TEST(ChoicesTest, EveryChoiceIsTheAnswerToItsSeed) {
  FakeEngine engine;
  GenerationRequest request = Warm("nine byte", 12, 7);
  request.num_choices = request.best_of = 5;
  const std::vector<std::vector<int32_t>> expected = OneByOne(engine, request);
  FakeEngine fresh;
  const Answers answers = fresh.AskAll(request);
  ASSERT_EQ(answers.size(), 5u);
  int64_t num_tokens = 0, num_ends = 0;
  for (const auto& [choice, answer] : answers) {
    EXPECT_EQ(answer.token_ids, expected[choice]) << choice;
    EXPECT_NE(answer.finish_reason, FinishReason::kNone);
    num_tokens += static_cast<int64_t>(answer.token_ids.size());
    num_ends += answer.ends_request;
    if (answer.ends_request) {
      EXPECT_EQ(answer.usage.num_completion_tokens, 5 * 12);
    }
  }
  EXPECT_EQ(num_ends, 1);
  EXPECT_EQ(num_tokens, 5 * 12);
  // The prompt once, and of every answer all tokens but the last.
  EXPECT_EQ(fresh.runner().num_computed(), 9 + 5 * 11);
  EXPECT_EQ(fresh->stats().num_free_blocks, 64);
}

TEST(ChoicesTest, MoreChoicesThanPlacesWaitTheirTurn) {
  GenerationRequest request = Warm("a prompt", 10, 3);
  request.num_choices = request.best_of = 9;
  FakeEngine plain;
  const std::vector<std::vector<int32_t>> expected = OneByOne(plain, request);
  EngineOptions options = SmallOptions();
  options.max_running_sequences = 2;
  for (int64_t num_state_slots : {0, 2}) {
    FakeRunnerOptions runner;
    runner.num_blocks = 18;
    runner.num_state_slots = num_state_slots;
    FakeEngine engine(options, runner);
    for (const auto& [choice, answer] : engine.AskAll(request)) {
      EXPECT_EQ(answer.token_ids, expected[choice]) << choice;
    }
    EXPECT_EQ(engine->stats().num_free_blocks, 18);
  }
}

TEST(ChoicesTest, BestOfGivesTheMostProbable) {
  GenerationRequest request = Warm("pick", 6, 11);
  request.sampling.logprobs = 0;
  request.num_choices = request.best_of = 6;
  FakeEngine engine;
  std::vector<std::tuple<double, int32_t, std::vector<int32_t>>> all;
  for (const auto& [choice, answer] : engine.AskAll(request)) {
    double sum = 0;
    for (const TokenLogProbs& p : answer.logprobs) sum += p.chosen;
    all.emplace_back(-sum / static_cast<double>(answer.logprobs.size()), choice, answer.token_ids);
  }
  std::sort(all.begin(), all.end());
  request.num_choices = 2;
  request.sampling.logprobs = -1;
  const Answers best = engine.AskAll(request);
  ASSERT_EQ(best.size(), 2u);
  EXPECT_EQ(best.at(0).token_ids, std::get<2>(all[0]));
  EXPECT_EQ(best.at(1).token_ids, std::get<2>(all[1]));
  EXPECT_TRUE(best.at(0).logprobs.empty());
  EXPECT_TRUE(best.at(1).ends_request);
  EXPECT_EQ(best.at(1).usage.num_completion_tokens, 6 * 6);
}

TEST(ChoicesTest, CancellationEndsAllChoices) {
  StepGate gate;
  FakeEngine engine(SmallOptions(), {}, &gate);
  GenerationRequest request = Warm("x", 40, 1);
  request.num_choices = request.best_of = 4;
  absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine->Submit(request);
  ASSERT_OK(stream);
  gate.Allow(3);
  gate.AwaitArrival(4);
  EXPECT_EQ(engine->stats().num_running, 4);
  (*stream)->Cancel();
  gate.Allow(100);
  const Answers answers = CollectAll(**stream);
  EXPECT_EQ(std::count_if(answers.begin(), answers.end(),
                          [](const auto& a) { return a.second.ends_request; }),
            1);
  EXPECT_EQ(engine->stats().num_free_blocks, 64);
  EXPECT_EQ(engine->stats().num_running, 0);
}

TEST(ChoicesTest, RefusesCountsOutOfRange) {
  FakeEngine engine;
  GenerationRequest request = TextRequest("x", 2);
  request.num_choices = 3;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("best_of is 1")));
  request.num_choices = request.best_of = 3;
  request.sampling.max_tokens = 0;
  request.sampling.prompt_logprobs = 0;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("best_of is 3")));
  request.num_choices = request.best_of = 65;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("n is 65")));
}

TEST(LogProbsTest, EveryTokenHasItsOwn) {
  FakeEngine engine;
  GenerationRequest request = TextRequest("hi", 5);
  request.sampling.logprobs = 3;
  const GenerationEvent answer = engine.Ask(request);
  ASSERT_EQ(answer.logprobs.size(), 5u);
  const double total = std::log(std::exp(10.0) + 255);  // the fake's row, three ids at -1e9
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(answer.logprobs[i].chosen, 10 - total, 1e-5);
    ASSERT_EQ(answer.logprobs[i].top_ids.size(), 3u);
    EXPECT_EQ(answer.logprobs[i].top_ids[0], answer.token_ids[i]);
    EXPECT_NEAR(answer.logprobs[i].top_values[1], -total, 1e-5);
  }
}

TEST(LogProbsTest, PromptTokensAreScoredOnce) {
  EngineOptions options = SmallOptions();
  options.max_batch_tokens = 8;  // in chunks
  FakeEngine engine(options);
  GenerationRequest request = TextRequest("the prompt to be scored", 4);
  const GenerationEvent plain = engine.Ask(request);  // and now the cache knows it
  request.sampling.prompt_logprobs = 1;
  const GenerationEvent scored = engine.Ask(request);
  EXPECT_EQ(scored.token_ids, plain.token_ids);
  EXPECT_EQ(scored.usage.num_cached_prompt_tokens, 0);
  ASSERT_EQ(scored.prompt_logprobs.size(), request.prompt.size() - 1);
  for (size_t i = 1; i < request.prompt.size(); ++i) {
    const TokenLogProbs& p = scored.prompt_logprobs[i - 1];
    ASSERT_EQ(p.top_ids.size(), 1u);
    // The model's favourite after the first i tokens, which it gives as an answer too.
    GenerationRequest prefix = TextRequest("", 1);
    prefix.prompt.assign(request.prompt.begin(), request.prompt.begin() + i);
    EXPECT_EQ(engine.Ask(prefix).token_ids[0], p.top_ids[0]) << i;
  }
  request.sampling.max_tokens = 0;
  const GenerationEvent echo = engine.Ask(request);
  EXPECT_TRUE(echo.token_ids.empty());
  EXPECT_EQ(echo.prompt_logprobs.size(), request.prompt.size() - 1);
  EXPECT_EQ(echo.finish_reason, FinishReason::kLength);
}

TEST(ValuesTest, HiddenStatesAndScoresShareTheBatch) {
  StepGate gate;
  FakeEngine engine(SmallOptions(), {}, &gate);
  const auto submit = [&](const GenerationRequest& request) {
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine->Submit(request);
    EXPECT_OK(stream);
    return *stream;
  };
  const auto first = submit(TextRequest("x", 3));
  gate.AwaitArrival(1);
  GenerationRequest hidden = TextRequest("embed me", 1), scores = TextRequest("judge", 1);
  hidden.kind = RequestKind::kHidden;
  scores.kind = RequestKind::kScores;
  for (int32_t id = 'a'; id <= 'z'; ++id) scores.score_ids.push_back(id);
  const auto embedding = submit(hidden), judged = submit(scores),
             text = submit(TextRequest("y", 3));
  gate.Allow(100);
  const GenerationEvent e = Collect(*embedding), s = Collect(*judged);
  Collect(*first);
  Collect(*text);
  ASSERT_EQ(e.values.size(), 2u);
  EXPECT_EQ(e.values[0], 8);
  EXPECT_EQ(e.finish_reason, FinishReason::kStop);
  EXPECT_EQ(e.usage.num_prompt_tokens, 8);
  ASSERT_EQ(s.values.size(), 26u);
  EXPECT_EQ(std::count(s.values.begin(), s.values.end(), 10.0f), 1);
  EXPECT_EQ(engine->stats().num_free_blocks, 64);
}

TEST(ValuesTest, RefusesWhatHasNoMeaning) {
  FakeEngine engine;
  GenerationRequest request = TextRequest("x", 1);
  request.kind = RequestKind::kScores;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least one token id")));
  request.score_ids = {259};
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token id 259")));
  request.kind = RequestKind::kHidden;
  request.best_of = 2;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one answer")));
  request = TextRequest(std::string(65, 'x'), 1);
  request.kind = RequestKind::kHidden;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("65 tokens")));
}

TEST(AdaptersTest, AreLoadedMixedAndUnloadedWhileOthersRun) {
  FakeEngine engine;
  GenerationRequest request = TextRequest("x", 4);
  request.adapter = 0;
  EXPECT_THAT(engine.SubmitError(request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("LoRA adapter 0 is not loaded")));
  EXPECT_THAT(engine->LoadAdapter("").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such adapter")));
  ASSERT_OK_AND_ASSIGN(const int32_t a, engine->LoadAdapter("a"));
  ASSERT_OK_AND_ASSIGN(const int32_t b, engine->LoadAdapter("b"));
  std::vector<std::shared_ptr<GenerationStream>> streams;
  for (int32_t adapter : {-1, a, b}) {
    request.adapter = adapter;
    request.sampling.max_tokens = 30;
    ASSERT_OK_AND_ASSIGN(streams.emplace_back(), engine->Submit(request));
  }
  EXPECT_OK(engine->UnloadAdapter(b));  // waits for its request
  EXPECT_EQ(Collect(*streams[2]).text, std::string(30, 'B'));
  EXPECT_EQ(Collect(*streams[1]).text, std::string(30, 'A'));
  EXPECT_NE(Collect(*streams[0]).text.substr(0, 1), "A");
  request.adapter = b;
  EXPECT_THAT(engine.SubmitError(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("1")));
  EXPECT_THAT(engine->UnloadAdapter(b), StatusIs(absl::StatusCode::kNotFound, HasSubstr("1")));
}

}  // namespace
}  // namespace oneai::serving
