// What tests of the engine share: requests of bytes, and answers collected to their end.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "serving/engine/engine.h"
#include "tests/serving/byte_tokenizer.h"
#include "tests/serving/engine/fake_runner.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {

// All events of a choice, as one.
using Answers = std::map<int32_t, GenerationEvent>;

inline Answers CollectAll(GenerationStream& stream) {
  Answers answers;
  for (bool last = false; !last;) {
    GenerationEvent event = stream.Wait();
    last = event.last();
    const int32_t choice = event.choice;
    AppendEvent(answers[choice], std::move(event));
    answers[choice].choice = choice;
  }
  return answers;
}

inline GenerationEvent Collect(GenerationStream& stream) { return CollectAll(stream).at(0); }

inline std::vector<int32_t> Bytes(const std::string& text) {
  return std::vector<int32_t>(reinterpret_cast<const uint8_t*>(text.data()),
                              reinterpret_cast<const uint8_t*>(text.data()) + text.size());
}

inline GenerationRequest TextRequest(const std::string& prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = Bytes(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

inline EngineOptions SmallOptions() {
  EngineOptions options;
  options.max_context_tokens = 64;
  options.max_batch_tokens = 16;
  options.max_running_sequences = 8;
  options.max_waiting_requests = 64;
  options.draft_row_cost = 0.1;  // measured on a fake it would say nothing
  return options;
}

// An engine over a FakeRunner of byte tokens.
class FakeEngine {
 public:
  explicit FakeEngine(EngineOptions options = SmallOptions(), FakeRunnerOptions runner = {},
                      StepGate* gate = nullptr, std::unique_ptr<ModelRunner> draft = nullptr)
      : tokenizer_(NewByteTokenizer()) {
    auto owned = std::make_unique<FakeRunner>(runner, gate);
    runner_ = owned.get();
    absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(
        options, std::move(owned), TokenTable{kNumByteTokens, {kEndToken}, tokenizer_.get()},
        nullptr, Clock::Real(), std::move(draft));
    EXPECT_OK(engine);
    engine_ = *std::move(engine);
  }

  Answers AskAll(GenerationRequest request) {
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine_->Submit(std::move(request));
    EXPECT_OK(stream);
    return CollectAll(**stream);
  }
  GenerationEvent Ask(GenerationRequest request) { return AskAll(std::move(request)).at(0); }
  absl::Status SubmitError(GenerationRequest request) {
    return engine_->Submit(std::move(request)).status();
  }
  Engine* operator->() { return engine_.get(); }
  const FakeRunner& runner() const { return *runner_; }

 private:
  const std::unique_ptr<models::Tokenizer> tokenizer_;
  std::unique_ptr<Engine> engine_;
  FakeRunner* runner_ = nullptr;
};

}  // namespace oneai::serving
