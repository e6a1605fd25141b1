// Models with recurrent layers: their state is where it has to be with guesses, forks, preemption,
// failures and the prefix cache, and no slot of it is lost.
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/serving/engine/engine_fixture.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

const char kLong[] = "a prompt of forty bytes, give or take a few";

FakeRunnerOptions Hybrid(int64_t num_states = 24) {
  FakeRunnerOptions runner;
  runner.num_state_slots = num_states;
  runner.num_blocks = 128;
  return runner;
}

EngineOptions With(Speculation speculation) {
  EngineOptions options = SmallOptions();
  options.speculation = speculation;
  return options;
}

void ExpectAllFree(FakeEngine& engine) {
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
  EXPECT_EQ(stats.num_free_states, engine.runner().num_state_slots());
}

TEST(HybridCacheTest, AnEqualPromptGoesOnFromItsLastWholeBlock) {
  FakeEngine engine(SmallOptions(), Hybrid());
  const GenerationEvent first = engine.Ask(TextRequest(kLong, 10));
  const int64_t num_computed = engine.runner().num_computed();
  const GenerationEvent second = engine.Ask(TextRequest(kLong, 10));
  EXPECT_EQ(second.usage.num_cached_prompt_tokens, 40);  // of 43, in blocks of 4
  EXPECT_EQ(second.token_ids, first.token_ids);
  EXPECT_EQ(engine.runner().num_computed() - num_computed, 3 + 9);
  EXPECT_TRUE(engine->stats().has_prefix_cache);
  EXPECT_GT(engine->stats().num_cached_states, 0);
  ExpectAllFree(engine);
}

TEST(HybridCacheTest, TheNextTurnGoesOnFromTheAnswer) {
  FakeEngine engine(SmallOptions(), Hybrid());
  const GenerationEvent first = engine.Ask(TextRequest("hello", 20));
  const GenerationRequest next = TextRequest("hello" + first.text + " and then?", 5);
  EXPECT_EQ(engine.Ask(next).usage.num_cached_prompt_tokens, 24);
}

TEST(HybridCacheTest, WherePromptsPartIsKeptTheSecondTime) {
  FakeEngine engine(SmallOptions(), Hybrid());
  const std::string common(22, 'c');
  std::vector<int64_t> num_cached;
  for (const char* end : {"first question", "the second one", "and one more"}) {
    const GenerationRequest request = TextRequest(common + end, 6);
    const GenerationEvent got = engine.Ask(request);
    EXPECT_EQ(got.token_ids, FakeEngine(SmallOptions(), Hybrid()).Ask(request).token_ids);
    num_cached.push_back(got.usage.num_cached_prompt_tokens);
  }
  EXPECT_THAT(num_cached, ::testing::ElementsAre(0, 0, 20));
}

TEST(HybridCacheTest, SnapshotsAtIntervalsServeShorterBeginnings) {
  EngineOptions options = SmallOptions();
  options.max_batch_tokens = 64;
  options.state_interval_tokens = 8;
  FakeEngine engine(options, Hybrid());
  engine.Ask(TextRequest(std::string(30, 'x') + "tail", 2));
  const GenerationEvent got = engine.Ask(TextRequest(std::string(18, 'x') + "other", 2));
  EXPECT_EQ(got.usage.num_cached_prompt_tokens, 16);
}

TEST(HybridCacheTest, FewSlotsMeanFewSnapshotsAndTheSameAnswers) {
  for (int64_t num_states : {1, 2, 3, 5, 9}) {
    EngineOptions options = SmallOptions();
    FakeEngine engine(options, Hybrid(num_states));
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 6; ++i) {
        const GenerationRequest request = TextRequest(absl::StrCat(i % 3, kLong), 12);
        EXPECT_EQ(engine.Ask(request).token_ids,
                  FakeEngine(SmallOptions(), Hybrid(1)).Ask(request).token_ids);
      }
    }
    EXPECT_LE(engine->stats().num_cached_states, num_states);
    ExpectAllFree(engine);
  }
}

TEST(HybridCacheTest, ABlockThatIsEvictedTakesItsStateAlong) {
  FakeRunnerOptions runner = Hybrid(40);
  runner.num_blocks = 16;
  FakeEngine engine(SmallOptions(), runner);
  for (int i = 0; i < 12; ++i) engine.Ask(TextRequest(absl::StrCat("number ", i, kLong), 10));
  EXPECT_LE(engine->stats().num_cached_states, 8);
  ExpectAllFree(engine);
}

TEST(HybridCacheTest, BlocksFromTheFileFindTheirState) {
  FakeRunnerOptions runner = Hybrid(60);
  runner.num_blocks = 16;
  EngineOptions options = SmallOptions();
  options.cache_folder = std::filesystem::temp_directory_path();
  options.cache_file_bytes_max = 1 << 20;
  FakeEngine engine(options, runner);
  std::vector<GenerationEvent> first;
  for (int i = 0; i < 6; ++i) first.push_back(engine.Ask(TextRequest(absl::StrCat(i, kLong), 10)));
  for (int i = 0; i < 6; ++i) {
    const GenerationEvent again = engine.Ask(TextRequest(absl::StrCat(i, kLong), 10));
    EXPECT_EQ(again.token_ids, first[i].token_ids);
    EXPECT_EQ(again.usage.num_cached_prompt_tokens, 40) << i;
  }
}

TEST(HybridForkTest, ChoicesGoOnFromOnePrompt) {
  GenerationRequest request = TextRequest(kLong, 12);
  request.sampling.temperature = 4;
  request.num_choices = request.best_of = 4;
  FakeEngine plain;  // without states: the same answers
  for (int64_t num_states : {2, 4, 5, 16}) {
    FakeEngine engine(SmallOptions(), Hybrid(num_states));
    const Answers expected = plain.AskAll(request), got = engine.AskAll(request);
    for (const auto& [choice, answer] : expected) {
      EXPECT_EQ(got.at(choice).token_ids, answer.token_ids) << num_states << ", choice " << choice;
    }
    ExpectAllFree(engine);
  }
}

TEST(MtpTest, AHeadThatReadsEveryPositionIsAlwaysRight) {
  for (int64_t num_states : {0, 24}) {
    for (double temperature : {0.0, 5.0}) {
      GenerationRequest request = TextRequest("a prompt of two chunks", 40);
      request.sampling.temperature = temperature;
      FakeRunnerOptions runner = Hybrid(num_states);
      runner.draft_head = true;
      FakeEngine plain, engine(With(Speculation::kMtp), runner);
      EXPECT_EQ(engine.Ask(request).token_ids, plain.Ask(request).token_ids);
      const EngineStats stats = engine->stats();
      EXPECT_EQ(stats.num_accepted_tokens, stats.num_draft_tokens);
      EXPECT_LT(stats.num_steps, 15);
      ExpectAllFree(engine);
    }
  }
}

TEST(MtpTest, AutomaticMeansTheHeadWhereThereIsOne) {
  FakeRunnerOptions runner = Hybrid();
  FakeEngine without(With(Speculation::kAuto), runner);
  EXPECT_EQ(without->stats().speculation, Speculation::kOff);
  runner.draft_head = true;
  FakeEngine with(With(Speculation::kAuto), runner);
  EXPECT_EQ(with->stats().speculation, Speculation::kMtp);
  with.Ask(TextRequest("text", 30));
  EXPECT_GT(with->stats().num_accepted_tokens, 10);
}

TEST(MtpTest, AModelWithoutAHeadIsRefused) {
  const absl::Status status =
      Engine::Create(With(Speculation::kMtp), std::make_unique<FakeRunner>(Hybrid()),
                     TokenTable{kNumByteTokens, {}, nullptr}, nullptr, Clock::Real())
          .status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               HasSubstr("multi-token-prediction head")));
}

TEST(MtpTest, AHeadThatNeverGuessesRightIsHardlyAsked) {
  FakeRunnerOptions runner = Hybrid();
  runner.draft_head = true;
  runner.wrong_guess = [](const std::vector<int32_t>&) { return 'Z'; };
  FakeEngine plain, engine(With(Speculation::kMtp), runner);
  for (int i = 0; i < 5; ++i) {  // later sequences know from the first ones
    const GenerationRequest request = TextRequest(absl::StrCat("text ", i), 50);
    EXPECT_EQ(engine.Ask(request).token_ids, plain.Ask(request).token_ids);
  }
  EXPECT_EQ(engine->stats().num_accepted_tokens, 0);
  EXPECT_LT(engine->stats().num_draft_tokens, 120);
}

// A head that is right most of the time, so that every number of right guesses occurs.
FakeRunnerOptions WithFallibleHead(int64_t num_states, int64_t num_blocks) {
  FakeRunnerOptions runner = Hybrid(num_states);
  runner.num_blocks = num_blocks;
  runner.draft_head = true;
  runner.next = [](const std::vector<int32_t>& context) {
    uint64_t h = 99;
    for (int32_t id : context) h = (h ^ static_cast<uint64_t>(id)) * 1099511628211u;
    return static_cast<int32_t>('a' + (h >> 33) % 26);
  };
  runner.wrong_guess = [next = runner.next](const std::vector<int32_t>& context) {
    return (context.size() * 2654435761u >> 7) % 4 == 0 ? 'Z' : next(context);
  };
  return runner;
}

GenerationRequest RandomRequest(std::mt19937& random) {
  std::string prompt = random() % 2 == 0 ? std::string(random() % 24, 'p') : "";
  const size_t length = 1 + random() % 16;
  for (size_t i = 0; i < length; ++i) prompt += static_cast<char>('a' + random() % 3);
  GenerationRequest request = TextRequest(prompt, 1 + static_cast<int64_t>(random() % 24));
  request.sampling.temperature = random() % 2 == 0 ? 0 : 3;
  request.sampling.seed = random();
  if (random() % 4 == 0) request.num_choices = request.best_of = 3;
  return request;
}

TEST(HybridEngineTest, RandomCompaniesGetTheAnswersOfOneAlone) {
  int64_t num_preemptions = 0, num_hits = 0, num_accepted = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const int64_t num_states = 2 + static_cast<int64_t>(random() % 20);
    const int64_t num_blocks = 16 + static_cast<int64_t>(random() % 20);
    EngineOptions options =
        With(random() % 3 == 0 ? Speculation::kPromptLookup : Speculation::kMtp);
    options.max_batch_tokens = 8 + static_cast<int64_t>(random() % 24);
    options.state_interval_tokens = 4 + static_cast<int64_t>(random() % 16);
    options.draft_row_cost = 0.02;
    options.prefix_cache = random() % 4 != 0;
    FakeEngine engine(options, WithFallibleHead(num_states, num_blocks));
    EngineOptions simple = SmallOptions();
    simple.prefix_cache = false;
    FakeEngine alone(simple, WithFallibleHead(8, 64));
    std::vector<GenerationRequest> requests;
    std::vector<std::shared_ptr<GenerationStream>> streams;
    for (int i = 0; i < 16; ++i) requests.push_back(RandomRequest(random));
    for (const GenerationRequest& request : requests) {
      ASSERT_OK_AND_ASSIGN(streams.emplace_back(), engine->Submit(request));
      if (random() % 8 == 0) streams.back()->Cancel();
    }
    for (size_t i = 0; i < streams.size(); ++i) {
      const Answers got = CollectAll(*streams[i]);
      if (got.begin()->second.status.code() == absl::StatusCode::kCancelled) continue;
      const Answers expected = alone.AskAll(requests[i]);
      for (const auto& [choice, answer] : expected) {
        ASSERT_EQ(got.at(choice).token_ids, answer.token_ids) << "request " << i;
      }
    }
    ExpectAllFree(engine);
    num_preemptions += engine->stats().num_preemptions;
    num_hits += engine->stats().num_prefix_hits;
    num_accepted += engine->stats().num_accepted_tokens;
  }
  EXPECT_GT(num_preemptions, 20);
  EXPECT_GT(num_hits, 200);
  EXPECT_GT(num_accepted, 1000);
}

TEST(HybridEngineTest, AFailureSparesTheOthersAndTheirStates) {
  for (const int32_t bad : {kPoisonToken, kThrowToken, kNanToken}) {
    FakeRunnerOptions runner = Hybrid();
    runner.draft_head = true;
    StepGate gate;
    FakeEngine plain, engine(With(Speculation::kMtp), runner, &gate);
    std::vector<std::shared_ptr<GenerationStream>> streams;
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 3; ++i) requests.push_back(TextRequest(absl::StrCat("short ", i), 30));
    for (const GenerationRequest& request : requests) {
      ASSERT_OK_AND_ASSIGN(streams.emplace_back(), engine->Submit(request));
    }
    gate.Allow(4);
    gate.AwaitArrival(5);  // in the middle of their answers
    GenerationRequest failing = TextRequest("bad", 5);
    failing.prompt.push_back(bad);
    ASSERT_OK_AND_ASSIGN(const auto failed, engine->Submit(failing));
    gate.Allow(1000);
    EXPECT_EQ(Collect(*failed).status.code(), absl::StatusCode::kInternal);
    for (size_t i = 0; i < streams.size(); ++i) {
      const GenerationEvent got = Collect(*streams[i]);
      EXPECT_OK(got.status);
      EXPECT_EQ(got.token_ids, plain.Ask(requests[i]).token_ids);
    }
    EXPECT_OK(engine.Ask(TextRequest("after that", 5)).status);
    ExpectAllFree(engine);
  }
}

}  // namespace
}  // namespace oneai::serving
