#include "serving/engine/engine.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/serving/byte_tokenizer.h"
#include "tests/serving/engine/fake_runner.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;

struct Answer {
  std::string text;
  std::vector<int32_t> token_ids;
  GenerationEvent last;
};

Answer Collect(GenerationStream& stream) {
  Answer answer;
  do {
    answer.last = stream.Wait();
    answer.text += answer.last.text;
    answer.token_ids.insert(answer.token_ids.end(), answer.last.token_ids.begin(),
                            answer.last.token_ids.end());
  } while (!answer.last.last());
  return answer;
}

std::vector<int32_t> Bytes(const std::string& text) {
  return std::vector<int32_t>(reinterpret_cast<const uint8_t*>(text.data()),
                              reinterpret_cast<const uint8_t*>(text.data()) + text.size());
}

GenerationRequest Request(const std::string& prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = Bytes(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

// A model that answers every prompt with the bytes of `answer` and the end token.
FakeRunnerOptions Reciting(std::string answer, int64_t num_prompt) {
  FakeRunnerOptions options;
  options.next = [answer = std::move(answer), num_prompt](const std::vector<int32_t>& context) {
    const size_t i = context.size() - num_prompt;
    return i < answer.size() ? static_cast<int32_t>(static_cast<uint8_t>(answer[i])) : kEndToken;
  };
  return options;
}

class EngineTest : public ::testing::Test {
 protected:
  void Start(FakeRunnerOptions runner, EngineOptions options, StepGate* gate = nullptr) {
    ASSERT_OK_AND_ASSIGN(
        engine_, Engine::Create(options, std::make_unique<FakeRunner>(runner, gate),
                                TokenTable{kNumByteTokens, {kEndToken}, tokenizer_.get()}, nullptr,
                                Clock::Real()));
  }
  static EngineOptions Small() {
    EngineOptions options;
    options.max_context_tokens = 64;
    options.max_batch_tokens = 16;
    options.max_running_sequences = 8;
    options.max_waiting_requests = 64;
    return options;
  }
  Answer Ask(GenerationRequest request) {
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine_->Submit(std::move(request));
    EXPECT_OK(stream);
    return Collect(**stream);
  }
  absl::Status SubmitError(GenerationRequest request) {
    return engine_->Submit(std::move(request)).status();
  }

  const std::unique_ptr<models::Tokenizer> tokenizer_ = NewByteTokenizer();
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, AnswersUntilTheEndToken) {
  Start(Reciting("hello", 2), Small());
  const Answer answer = Ask(Request("hi", 20));
  EXPECT_EQ(answer.text, "hello");
  EXPECT_EQ(answer.last.finish_reason, FinishReason::kStop);
  EXPECT_EQ(answer.token_ids.back(), kEndToken);
  EXPECT_EQ(answer.last.usage.num_prompt_tokens, 2);
  EXPECT_EQ(answer.last.usage.num_completion_tokens, 6);
}

TEST_F(EngineTest, StopsAtMaxTokens) {
  Start(Reciting("hello", 2), Small());
  const Answer answer = Ask(Request("hi", 3));
  EXPECT_EQ(answer.text, "hel");
  EXPECT_EQ(answer.last.finish_reason, FinishReason::kLength);
}

TEST_F(EngineTest, IgnoreEosGoesOnToMaxTokens) {
  Start(Reciting("hello", 2), Small());
  GenerationRequest request = Request("hi", 10);
  request.sampling.ignore_eos = true;
  EXPECT_EQ(Ask(request).last.finish_reason, FinishReason::kLength);
}

TEST_F(EngineTest, StopStringAcrossTokensEndsTheText) {
  Start(Reciting("one. two\n\nUser: three", 2), Small());
  GenerationRequest request = Request("hi", 30);
  request.sampling.stop = {"\n\nUser:"};
  const Answer answer = Ask(request);
  EXPECT_EQ(answer.text, "one. two");
  EXPECT_EQ(answer.last.finish_reason, FinishReason::kStop);
  EXPECT_EQ(answer.last.stop_string, "\n\nUser:");
}

TEST_F(EngineTest, StopStringsDoNotCountBeforeMinTokens) {
  Start(Reciting("a.b.c.d", 2), Small());
  GenerationRequest request = Request("hi", 30);
  request.sampling.stop = {"."};
  request.sampling.min_tokens = 3;
  EXPECT_EQ(Ask(request).text, "a.b");
}

TEST_F(EngineTest, HeldBackTextComesOutAtTheEnd) {
  Start(Reciting("abc", 2), Small());
  GenerationRequest request = Request("hi", 30);
  request.sampling.stop = {"bcd"};
  EXPECT_EQ(Ask(request).text, "abc");
}

TEST_F(EngineTest, StreamsWholeCharactersOnly) {
  const std::string text = "\xE4\xBD\xA0\xF0\x9F\x98\x80z";
  Start(Reciting(text, 2), Small());
  absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine_->Submit(Request("hi", 30));
  ASSERT_OK(stream);
  std::string all;
  GenerationEvent event;
  do {
    event = (*stream)->Wait();
    for (const char* piece : {"\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "z"}) {
      if (event.text.rfind(piece, 0) == 0)
        event.text.erase(0, std::string(piece).size()), all += piece;
    }
    EXPECT_EQ(event.text, "");
  } while (!event.last());
  EXPECT_EQ(all, text);
}

TEST_F(EngineTest, CutCharacterBecomesOneReplacement) {
  Start(Reciting("a\xE4\xBD\xA0", 2), Small());
  EXPECT_EQ(Ask(Request("hi", 3)).text, "a\xEF\xBF\xBD");
}

TEST_F(EngineTest, RefusesWhatCannotBeAnswered) {
  Start({}, Small());
  EXPECT_THAT(SubmitError(Request("", 4)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("prompt is empty")));
  EXPECT_THAT(SubmitError(Request(std::string(60, 'x'), 5)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("prompt has 60 tokens"), HasSubstr("max_tokens is 5"),
                             HasSubstr("context of 64"))));
  EXPECT_THAT(SubmitError(Request("x", std::numeric_limits<int64_t>::max())),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("context of 64")));
  GenerationRequest bad_id = Request("x", 4);
  bad_id.prompt.push_back(300);
  EXPECT_THAT(SubmitError(bad_id),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token id 300")));
  EXPECT_OK(Ask(Request(std::string(60, 'x'), 4)).last.status);
}

TEST_F(EngineTest, RefusesACacheSmallerThanTheContext) {
  FakeRunnerOptions runner;
  runner.num_blocks = 15;
  EXPECT_THAT(Engine::Create(Small(), std::make_unique<FakeRunner>(runner),
                             TokenTable{kNumByteTokens, {}, nullptr}, nullptr, Clock::Real()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("raise kv_cache_bytes")));
}

// The pool holds little more than one full sequence, so the mix is preempted over and over.
TEST_F(EngineTest, BatchingAndPreemptionDoNotChangeAnswers) {
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 12; ++i) {
    GenerationRequest request =
        Request(std::string(1 + 4 * i % 37, static_cast<char>('a' + i)), 25);
    request.tenant = absl::StrCat("tenant", i % 3);
    if (i % 2 == 1) request.sampling.temperature = 5;
    request.sampling.seed = 100 + i;
    requests.push_back(request);
  }
  Start({}, Small());
  std::vector<std::vector<int32_t>> alone;
  for (const GenerationRequest& request : requests) alone.push_back(Ask(request).token_ids);

  FakeRunnerOptions tight;
  tight.num_blocks = 20;
  Start(tight, Small());
  std::vector<std::shared_ptr<GenerationStream>> streams;
  for (const GenerationRequest& request : requests) {
    ASSERT_OK_AND_ASSIGN(streams.emplace_back(), engine_->Submit(request));
  }
  for (size_t i = 0; i < streams.size(); ++i)
    EXPECT_EQ(Collect(*streams[i]).token_ids, alone[i]) << i;
  EXPECT_GT(engine_->stats().num_preemptions, 0);
  EXPECT_EQ(engine_->stats().num_free_blocks, 20);
}

TEST_F(EngineTest, CancellationFreesTheBlocksWithinOneStep) {
  StepGate gate;
  Start({}, Small(), &gate);
  ASSERT_OK_AND_ASSIGN(auto cancelled, engine_->Submit(Request("first request", 40)));
  gate.AwaitArrival(1);
  ASSERT_OK_AND_ASSIGN(auto other, engine_->Submit(Request("x", 40)));
  gate.Allow(5);
  gate.AwaitArrival(6);  // in the middle of step 6
  EXPECT_LT(engine_->stats().num_free_blocks, 64);
  cancelled->Cancel();
  gate.Allow(1);
  gate.AwaitArrival(7);  // before the next step: only the other's blocks are held
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(stats.num_running, 1);
  EXPECT_EQ(stats.num_free_blocks, 64 - BlocksFor(1 + 5, 4));
  const Answer answer = Collect(*cancelled);
  EXPECT_EQ(answer.last.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(answer.last.status.code(), absl::StatusCode::kCancelled);
  gate.Allow(1000);
  EXPECT_EQ(Collect(*other).token_ids.size(), 40u);
  EXPECT_EQ(engine_->stats().num_free_blocks, 64);
}

TEST_F(EngineTest, FailedStepEndsOnlyTheRequestsThatFail) {
  StepGate gate;
  Start({}, Small(), &gate);
  ASSERT_OK_AND_ASSIGN(auto first, engine_->Submit(Request("x", 6)));
  gate.AwaitArrival(1);
  GenerationRequest poison = Request("ab", 6), thrower = Request("cd", 6);
  poison.prompt.push_back(kPoisonToken);
  thrower.prompt.push_back(kThrowToken);
  ASSERT_OK_AND_ASSIGN(auto failed, engine_->Submit(poison));
  ASSERT_OK_AND_ASSIGN(auto thrown, engine_->Submit(thrower));
  ASSERT_OK_AND_ASSIGN(auto good, engine_->Submit(Request("good", 6)));
  gate.Allow(1000);
  EXPECT_THAT(Collect(*failed).last.status,
              StatusIs(absl::StatusCode::kInternal, HasSubstr("poison")));
  EXPECT_THAT(Collect(*thrown).last.status,
              StatusIs(absl::StatusCode::kInternal, HasSubstr("the model threw")));
  EXPECT_OK(Collect(*first).last.status);
  const Answer in_bad_company = Collect(*good);
  EXPECT_EQ(Ask(Request("good", 6)).token_ids, in_bad_company.token_ids);
  EXPECT_EQ(engine_->stats().num_free_blocks, 64);
}

TEST_F(EngineTest, FullQueueRefuses) {
  StepGate gate;
  EngineOptions options = Small();
  options.max_running_sequences = 1;
  options.max_waiting_requests = 2;
  Start({}, options, &gate);
  ASSERT_OK_AND_ASSIGN(auto running, engine_->Submit(Request("a", 4)));
  gate.AwaitArrival(1);
  ASSERT_OK_AND_ASSIGN(auto b, engine_->Submit(Request("b", 4)));
  ASSERT_OK_AND_ASSIGN(auto c, engine_->Submit(Request("c", 4)));
  EXPECT_THAT(SubmitError(Request("d", 4)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("queue is full")));
  gate.Allow(1000);
  EXPECT_OK(Collect(*c).last.status);
  EXPECT_OK(Ask(Request("d", 4)).last.status);
}

TEST_F(EngineTest, DeadlineEndsWaitingAndRunning) {
  StepGate gate;
  EngineOptions options = Small();
  options.max_running_sequences = 1;
  Start({}, options, &gate);
  GenerationRequest request = Request("a", 40);
  request.deadline = Clock::Real()->Now() + absl::Milliseconds(30);
  ASSERT_OK_AND_ASSIGN(auto running, engine_->Submit(request));
  gate.AwaitArrival(1);
  ASSERT_OK_AND_ASSIGN(auto waiting, engine_->Submit(request));
  while (Clock::Real()->Now() <= request.deadline) absl::SleepFor(absl::Milliseconds(1));
  gate.Allow(1000);
  EXPECT_THAT(Collect(*running).last.status,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("after 1 output token")));
  EXPECT_THAT(Collect(*waiting).last.status,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("after 0 output tokens")));
  EXPECT_EQ(engine_->stats().num_free_blocks, 64);
}

TEST_F(EngineTest, SlowReaderIsPausedAndOthersGoOn) {
  EngineOptions options = Small();
  options.pending_tokens_max = 4;
  Start({}, options);
  ASSERT_OK_AND_ASSIGN(auto slow, engine_->Submit(Request("slow", 40)));
  EXPECT_EQ(Ask(Request("quick", 40)).token_ids.size(), 40u);
  const GenerationEvent first = slow->Wait();
  EXPECT_LE(first.token_ids.size(), 4u);
  Answer rest = Collect(*slow);
  EXPECT_EQ(first.token_ids.size() + rest.token_ids.size(), 40u);
}

TEST_F(EngineTest, ReaderThatStaysAwayIsEnded) {
  EngineOptions options = Small();
  options.pending_tokens_max = 4;
  options.slow_reader_timeout = absl::Milliseconds(20);
  Start({}, options);
  ASSERT_OK_AND_ASSIGN(auto slow, engine_->Submit(Request("slow", 40)));
  while (engine_->stats().num_running + engine_->stats().num_waiting > 0 ||
         engine_->stats().num_steps == 0) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_THAT(Collect(*slow).last.status,
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("unread")));
  EXPECT_EQ(engine_->stats().num_free_blocks, 64);
}

TEST_F(EngineTest, DrainingRefusesNewAndFinishesOld) {
  StepGate gate;
  Start({}, Small(), &gate);
  ASSERT_OK_AND_ASSIGN(auto old, engine_->Submit(Request("old", 4)));
  engine_->Drain();
  EXPECT_THAT(SubmitError(Request("new", 4)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("draining")));
  gate.Allow(1000);
  EXPECT_EQ(Collect(*old).token_ids.size(), 4u);
}

TEST_F(EngineTest, StopEndsWhatIsLeft) {
  StepGate gate;
  Start({}, Small(), &gate);
  ASSERT_OK_AND_ASSIGN(auto stream, engine_->Submit(Request("x", 40)));
  gate.AwaitArrival(1);
  gate.Allow(1);
  std::thread opener([&] { gate.Allow(1000); });
  engine_->Stop();
  opener.join();
  const Answer answer = Collect(*stream);
  if (answer.last.finish_reason != FinishReason::kLength) {
    EXPECT_EQ(answer.last.status.code(), absl::StatusCode::kUnavailable);
  }
}

}  // namespace
}  // namespace oneai::serving
