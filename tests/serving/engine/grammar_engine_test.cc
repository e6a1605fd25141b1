// Answers that must follow a grammar.
#include "absl/strings/match.h"
#include "models/json/json_reader.h"
#include "serving/grammar/grammar.h"
#include "tests/serving/engine/engine_fixture.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const CompiledGrammar> Compile(GrammarSpec::Kind kind, std::string text,
                                               int64_t num_tokens = kNumByteTokens,
                                               Thoughts thoughts = Thoughts::kNone) {
  const std::unique_ptr<models::Tokenizer> tokenizer = NewByteTokenizer();
  absl::StatusOr<std::shared_ptr<const TokenVocabulary>> vocabulary =
      TokenVocabulary::Create(*tokenizer, {kEndToken}, num_tokens);
  EXPECT_OK(vocabulary);
  GrammarSpec spec;
  spec.kind = kind;
  spec.text = std::move(text);
  spec.whitespace = JsonWhitespace::kCompact;
  spec.thoughts = thoughts;
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> grammar =
      CompiledGrammar::Compile(spec, *vocabulary, GrammarLimits());
  EXPECT_OK(grammar);
  return *grammar;
}

constexpr char kSchema[] =
    R"({"type":"object","properties":{"first_name":{"enum":["ada","alan","grace"]},)"
    R"("year":{"type":"integer","minimum":1900,"maximum":1999}},)"
    R"("required":["first_name","year"],"additionalProperties":false})";

GenerationRequest Structured(double temperature, uint64_t seed) {
  GenerationRequest request = TextRequest("tell me", 50);
  request.sampling.temperature = temperature;
  request.sampling.seed = seed;
  request.grammar = Compile(GrammarSpec::Kind::kJsonSchema, kSchema);
  return request;
}

void ExpectFollowsSchema(const GenerationEvent& answer) {
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
  const absl::StatusOr<models::Json> json = models::ParseJson(answer.text, "answer");
  ASSERT_OK(json);
  EXPECT_TRUE(json->contains("first_name"));
  EXPECT_GE(json->at("year").get<int64_t>(), 1900);
  EXPECT_LE(json->at("year").get<int64_t>(), 1999);
}

TEST(GrammarEngineTest, AnswersFollowTheSchemaAndEndWithIt) {
  FakeEngine engine;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ExpectFollowsSchema(engine.Ask(Structured(seed == 0 ? 0 : 5, seed)));
  }
}

TEST(GrammarEngineTest, ForcedTextTakesNoStepsOfItsOwn) {
  FakeEngine engine;
  const GenerationEvent answer = engine.Ask(Structured(0, 0));
  ExpectFollowsSchema(answer);
  EXPECT_LT(engine->stats().num_steps, static_cast<int64_t>(answer.token_ids.size()) / 2);
  FakeEngine slow;
  GenerationRequest with_log_probs = Structured(0, 0);
  with_log_probs.sampling.logprobs = 0;
  const GenerationEvent scored = slow.Ask(with_log_probs);
  EXPECT_EQ(scored.text, answer.text);  // with a token a byte there is one way to spell it
  EXPECT_EQ(scored.logprobs.size(), scored.token_ids.size());
  EXPECT_EQ(slow->stats().num_steps, static_cast<int64_t>(scored.token_ids.size()));
}

TEST(GrammarEngineTest, ChoicesFollowItEachInItsOwnWay) {
  FakeEngine engine;
  GenerationRequest request = Structured(5, 3);
  request.num_choices = request.best_of = 6;
  const Answers answers = engine.AskAll(request);
  ASSERT_EQ(answers.size(), 6u);
  for (const auto& [choice, answer] : answers) {
    ExpectFollowsSchema(answer);
    GenerationRequest alone = Structured(5, SeedOfChoice(3, choice));
    EXPECT_EQ(engine.Ask(alone).token_ids, answer.token_ids);
  }
}

// Guesses are cut where the grammar forbids them, and forced text runs through them.
TEST(GrammarEngineTest, SpeculationDoesNotChangeTheAnswer) {
  EngineOptions options = SmallOptions();
  options.speculation = Speculation::kDraftModel;
  FakeRunnerOptions draft;
  draft.next = [](const std::vector<int32_t>& context) {
    static constexpr char kGuess[] = R"({"first_name":"grace","year":1950})";
    return context.size() < 7 || context.size() - 7 >= sizeof kGuess - 1
               ? 'x'
               : kGuess[context.size() - 7];
  };
  FakeEngine plain, engine(options, {}, nullptr, std::make_unique<FakeRunner>(draft));
  for (bool log_probs : {false, true}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      GenerationRequest request = Structured(seed == 0 ? 0 : 5, seed);
      if (log_probs) request.sampling.logprobs = 0;
      const GenerationEvent expected = plain.Ask(request), got = engine.Ask(request);
      EXPECT_EQ(got.token_ids, expected.token_ids);
      EXPECT_EQ(got.text, expected.text);
    }
  }
  EXPECT_GT(engine->stats().num_accepted_tokens, 0);
}

// The model thinks first, in one way, and then leaves the answer to the grammar.
GenerationRequest Thinking(uint64_t seed) {
  GenerationRequest request = TextRequest("tell me", 57);
  request.sampling.temperature = seed == 0 ? 0 : 5;
  request.sampling.seed = seed;
  request.grammar =
      Compile(GrammarSpec::Kind::kRegex, "[0-9]{3} apples", kNumByteTokens, Thoughts::kAreOpened);
  return request;
}
FakeRunnerOptions Thinker(const std::string& thoughts) {
  FakeRunnerOptions runner;
  runner.next = [thoughts](const std::vector<int32_t>& context) -> int32_t {
    return context.size() - 7 < thoughts.size() ? thoughts[context.size() - 7] : 'x';
  };
  return runner;
}

TEST(GrammarEngineTest, ThoughtsComeBeforeTheAnswer) {
  FakeEngine engine(SmallOptions(), Thinker("Well <b></b>.</think>"));
  const std::string text = engine.Ask(Thinking(0)).text;
  EXPECT_TRUE(absl::StartsWith(text, "Well <b></b>.</think>\n\n")) << text;
  EXPECT_TRUE(absl::EndsWith(text, " apples")) << text;
  EXPECT_EQ(text.size(), 23 + 10u);
}

TEST(GrammarEngineTest, ThoughtsMayBeCutShort) {
  EngineOptions guessing = SmallOptions();
  guessing.speculation = Speculation::kDraftModel;
  FakeEngine plain(SmallOptions(), Thinker("Well I do not know"));
  FakeEngine engine(guessing, Thinker("Well I do not know"), nullptr,
                    std::make_unique<FakeRunner>(Thinker("Well\n</think>\n\n123 apples")));
  for (uint64_t seed = 0; seed < 10; ++seed) {
    GenerationRequest request = Thinking(seed);
    request.thoughts = {.tokens_max = 4, .are_opened = true, .closing = Bytes("\n</think>")};
    const GenerationEvent answer = plain.Ask(request);
    if (seed == 0) {
      EXPECT_TRUE(absl::StartsWith(answer.text, "Well\n</think>\n\n")) << answer.text;
    }
    EXPECT_EQ(answer.text.substr(answer.text.find("\n</think>\n\n")).size(), 11 + 10u)
        << answer.text;
    EXPECT_EQ(engine.Ask(request).token_ids, answer.token_ids);
    request.grammar = nullptr;
    EXPECT_TRUE(absl::StrContains(plain.Ask(request).text, "\n</think>"));
  }
}

TEST(GrammarEngineTest, MaxTokensCutsForcedTextToo) {
  FakeEngine engine;
  GenerationRequest request = Structured(0, 0);
  request.sampling.max_tokens = 5;
  const GenerationEvent answer = engine.Ask(request);
  EXPECT_EQ(answer.text, R"({"fir)");
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
}

TEST(GrammarEngineTest, AnOpenEndIsTheModelsChoice) {
  FakeEngine engine;
  GenerationRequest request = TextRequest("count", 20);
  request.grammar = Compile(GrammarSpec::Kind::kRegex, "[ab]{2,}");
  request.sampling.logit_bias = {{kEndToken, 100.f}};
  EXPECT_EQ(engine.Ask(request).text.size(), 2u);
  request.sampling.logit_bias = {{kEndToken, -100.f}};
  EXPECT_EQ(engine.Ask(request).finish_reason, FinishReason::kLength);
}

TEST(GrammarEngineTest, AGrammarOfAnotherModelIsRefused) {
  FakeRunnerOptions runner;
  FakeEngine engine(SmallOptions(), runner);
  GenerationRequest request = TextRequest("x", 5);
  request.grammar = Compile(GrammarSpec::Kind::kRegex, "a", 300);
  EXPECT_THAT(engine.SubmitError(request),
              testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("300 tokens")));
}

}  // namespace
}  // namespace oneai::serving
