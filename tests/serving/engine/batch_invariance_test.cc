// The product's promise: an answer is a function of its request alone. Greedy and seeded tokens,
// log-probabilities and embeddings of real (tiny) models are equal bit for bit whether a request is
// alone or in any company, with and without prefix cache, chunks, preemption, speculation, LoRA
// neighbours, and for any number of threads.
#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include "models/runtime/cpu_model.h"
#include "serving/engine/cpu_model_runner.h"
#include "tests/serving/engine/engine_fixture.h"
#include "tests/testing/paths.h"

namespace oneai::serving {
namespace {

constexpr int64_t kVocab = 512;

struct Setup {
  const char* name;
  EngineOptions options;
  int64_t num_blocks = 64;
  int num_threads = 1;
  models::ComputeDtype dtype = models::ComputeDtype::kBf16;
};

EngineOptions Options() {
  EngineOptions options;
  options.max_context_tokens = 112;
  options.max_batch_tokens = 128;
  options.max_running_sequences = 8;
  options.draft_row_cost = 0.01;  // so that guesses are made in company too
  return options;
}

// The one to which all others are held: each request alone, nothing clever.
Setup Plain() {
  Setup setup{"alone", Options()};
  setup.options.prefix_cache = false;
  return setup;
}

std::vector<Setup> Setups() {
  std::vector<Setup> setups;
  setups.push_back({"batched", Options()});
  setups.push_back({"two threads", Options()});
  setups.back().num_threads = 2;
  setups.push_back({"small chunks", Options()});
  setups.back().options.max_batch_tokens = 9;
  setups.push_back({"preempted", Options(), 8});
  setups.push_back({"preempted without prefix cache", Options(), 8});
  setups.back().options.prefix_cache = false;
  setups.push_back({"prompt lookup", Options(), 24});
  setups.back().options.speculation = Speculation::kPromptLookup;
  setups.push_back({"draft model, small chunks, two threads", Options(), 12, 2});
  setups.back().options.speculation = Speculation::kDraftModel;
  setups.back().options.max_batch_tokens = 20;
  setups.push_back({"cache file", Options(), 10});
  setups.back().options.cache_folder = std::filesystem::temp_directory_path();
  setups.back().options.cache_file_bytes_max = 64 << 20;
  return setups;
}

std::unique_ptr<ModelRunner> NewRunner(const std::filesystem::path& folder, const Setup& setup) {
  models::CpuModelOptions model_options;
  model_options.dtype = setup.dtype;
  model_options.num_threads = setup.num_threads;
  absl::StatusOr<std::unique_ptr<models::CpuModel>> model =
      models::CpuModel::Load(folder, model_options);
  EXPECT_OK(model);
  CpuRunnerOptions options;
  options.kv_cache = models::DefaultKvCacheFormat(setup.dtype);
  options.kv_cache_bytes =
      setup.num_blocks *
      models::PagedKvCache::BlockBytes((*model)->config(), kBlockTokens, options.kv_cache);
  options.max_sequences = setup.options.max_running_sequences;
  absl::StatusOr<std::unique_ptr<ModelRunner>> runner =
      NewCpuModelRunner(*std::move(model), options);
  EXPECT_OK(runner);
  return *std::move(runner);
}

std::unique_ptr<Engine> Start(const std::filesystem::path& folder, const Setup& setup,
                              absl::Span<const std::filesystem::path> adapters) {
  std::unique_ptr<ModelRunner> runner = NewRunner(folder, setup), draft;
  // The same model drafts: most guesses are right, those for LoRA neighbours often wrong. Hybrid
  // models turn speculation off.
  EngineOptions options = setup.options;
  if (runner->num_state_slots() > 0) options.speculation = Speculation::kOff;
  if (options.speculation == Speculation::kDraftModel) draft = NewRunner(folder, setup);
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::Create(options, std::move(runner), TokenTable{kVocab, {7}, nullptr}, nullptr,
                     Clock::Real(), std::move(draft));
  EXPECT_OK(engine);
  for (const std::filesystem::path& adapter : adapters) {
    EXPECT_OK((*engine)->LoadAdapter(adapter));
  }
  return *std::move(engine);
}

// Requests of all kinds; many begin alike, and some repeat themselves so that lookups succeed.
std::vector<GenerationRequest> RandomRequests(uint32_t seed, int32_t num_adapters) {
  std::mt19937 random(seed);
  std::vector<int32_t> common;
  for (int i = 0; i < 40; ++i) common.push_back(static_cast<int32_t>(random() % kVocab));
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 14; ++i) {
    GenerationRequest r;
    if (random() % 2 == 0) r.prompt.assign(common.begin(), common.begin() + random() % 40);
    const size_t length = 1 + random() % 30;
    for (size_t t = 0; t < length; ++t) {
      r.prompt.push_back(t > 4 && random() % 2 == 0 ? r.prompt[r.prompt.size() - 4]
                                                    : static_cast<int32_t>(random() % kVocab));
    }
    r.tenant = absl::StrCat("tenant", random() % 2);
    r.sampling.max_tokens = 1 + static_cast<int64_t>(random() % 24);
    r.sampling.temperature = random() % 2 == 0 ? 0 : 0.8;
    r.sampling.top_p = random() % 2 == 0 ? 1 : 0.9;
    r.sampling.seed = random();
    r.sampling.logprobs = static_cast<int32_t>(random() % 4) - 1;
    if (random() % 4 == 0) r.sampling.repetition_penalty = 1.3;
    if (random() % 4 == 0) r.sampling.prompt_logprobs = 2;
    if (random() % 4 == 0) r.num_choices = r.best_of = 3;
    if (random() % 3 == 0) r.adapter = static_cast<int32_t>(random() % (num_adapters + 1)) - 1;
    if (random() % 6 == 0) {
      r.kind = random() % 2 == 0 ? RequestKind::kHidden : RequestKind::kScores;
      r.sampling = SamplingSettings();
      r.num_choices = r.best_of = 1;
      r.score_ids = {1, 2, 3};
    }
    requests.push_back(r);
  }
  return requests;
}

void ExpectSameBits(const std::vector<TokenLogProbs>& got,
                    const std::vector<TokenLogProbs>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].chosen, expected[i].chosen) << i;
    EXPECT_EQ(got[i].top_ids, expected[i].top_ids) << i;
    EXPECT_EQ(got[i].top_values, expected[i].top_values) << i;
  }
}

void ExpectSame(const Answers& got, const Answers& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [choice, answer] : got) {
    SCOPED_TRACE(absl::StrCat("choice ", choice));
    const GenerationEvent& other = expected.at(choice);
    EXPECT_OK(answer.status);
    EXPECT_EQ(answer.token_ids, other.token_ids);
    EXPECT_EQ(answer.finish_reason, other.finish_reason);
    EXPECT_EQ(answer.values, other.values);
    ExpectSameBits(answer.logprobs, other.logprobs);
    ExpectSameBits(answer.prompt_logprobs, other.prompt_logprobs);
  }
}

std::vector<Answers> AskAlone(Engine& engine, const std::vector<GenerationRequest>& requests) {
  std::vector<Answers> answers;
  for (const GenerationRequest& request : requests) {
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine.Submit(request);
    EXPECT_OK(stream);
    answers.push_back(CollectAll(**stream));
  }
  return answers;
}

std::vector<Answers> AskTogether(Engine& engine, const std::vector<GenerationRequest>& requests) {
  std::vector<std::shared_ptr<GenerationStream>> streams;
  for (const GenerationRequest& request : requests) {
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine.Submit(request);
    EXPECT_OK(stream);
    streams.push_back(*stream);
  }
  std::vector<Answers> answers;
  for (const auto& stream : streams) answers.push_back(CollectAll(*stream));
  return answers;
}

void HoldPromise(const std::filesystem::path& folder, models::ComputeDtype dtype,
                 absl::Span<const std::filesystem::path> adapters = {}) {
  const int32_t num_adapters = static_cast<int32_t>(adapters.size());
  Setup plain = Plain();
  plain.dtype = dtype;
  const std::unique_ptr<Engine> alone = Start(folder, plain, adapters);
  int64_t num_preemptions = 0, num_hits = 0, num_accepted = 0;
  uint32_t seed = 1;
  for (Setup setup : Setups()) {
    SCOPED_TRACE(setup.name);
    setup.dtype = dtype;
    const std::vector<GenerationRequest> requests = RandomRequests(++seed, num_adapters);
    const std::vector<Answers> expected = AskAlone(*alone, requests);
    const std::unique_ptr<Engine> engine = Start(folder, setup, adapters);
    for (int round = 0; round < 2; ++round) {  // the second finds what the first left in the cache
      const std::vector<Answers> got = AskTogether(*engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) {
        SCOPED_TRACE(absl::StrCat("round ", round, ", request ", i));
        ASSERT_NO_FATAL_FAILURE(ExpectSame(got[i], expected[i]));
      }
    }
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
    num_preemptions += stats.num_preemptions;
    num_hits += stats.num_prefix_hits;
    num_accepted += stats.num_accepted_tokens;
  }
  EXPECT_GT(num_preemptions, 0);
  const bool has_state = NewRunner(folder, plain)->num_state_slots() > 0;
  EXPECT_EQ(num_hits == 0, has_state);
  EXPECT_EQ(num_accepted == 0, has_state);
}

TEST(BatchInvarianceTest, DenseModelInBf16) {
  HoldPromise(testing::DataDir() / "golden" / "qwen3", models::ComputeDtype::kBf16);
}

TEST(BatchInvarianceTest, DenseModelInFloat32) {
  HoldPromise(testing::DataDir() / "golden" / "qwen2_tied", models::ComputeDtype::kF32);
}

TEST(BatchInvarianceTest, SlidingWindow) {
  HoldPromise(testing::DataDir() / "golden" / "qwen2_sliding_window", models::ComputeDtype::kBf16);
}

TEST(BatchInvarianceTest, NeighboursWithAdapters) {
  const std::filesystem::path folder = testing::DataDir() / "golden" / "qwen2_lora";
  const std::vector<std::filesystem::path> adapters = {folder / "adapter_a", folder / "adapter_b"};
  HoldPromise(folder, models::ComputeDtype::kBf16, adapters);
}

class SharedModelTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedModelTest, HoldsThePromise) {
  const std::optional<std::filesystem::path> shared = testing::SharedDir();
  if (!shared.has_value()) GTEST_SKIP() << "the shared golden models are not on this machine";
  HoldPromise(*shared / "golden" / GetParam(), models::ComputeDtype::kBf16);
}

INSTANTIATE_TEST_SUITE_P(Golden, SharedModelTest,
                         ::testing::Values("qwen1", "qwen2_moe", "qwen3_moe", "qwen3_next",
                                           "qwen3_5"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace oneai::serving
