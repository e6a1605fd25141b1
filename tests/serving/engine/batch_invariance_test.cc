// The product's promise: an answer is a function of its request alone. Greedy and seeded tokens,
// log-probabilities and embeddings of real (tiny) models are equal bit for bit whether a request is
// alone or in any company, with and without prefix cache, chunks, preemption, speculation, LoRA
// neighbours, and for any number of threads.
#include <filesystem>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/runtime/cpu_model.h"
#include "serving/engine/cpu_model_runner.h"
#include "tests/serving/engine/engine_fixture.h"
#include "tests/testing/paths.h"

namespace oneai::serving {
namespace {

constexpr int64_t kVocab = 512;

// A model whose draft head is helped: it predicts what the model was given to compute the last time
// after the same token at the same position. So its guesses, like a trained head's and unlike those
// of random weights, are often right.
class HelpedHead final : public ModelRunner {
 public:
  explicit HelpedHead(std::unique_ptr<ModelRunner> model) : model_(std::move(model)) {}

  int64_t vocab_size() const override { return model_->vocab_size(); }
  int64_t hidden_size() const override { return model_->hidden_size(); }
  int64_t num_blocks() const override { return model_->num_blocks(); }
  int64_t block_tokens() const override { return model_->block_tokens(); }
  int64_t num_state_slots() const override { return model_->num_state_slots(); }
  uint64_t PrefixSalt(int64_t n) const override { return model_->PrefixSalt(n); }
  void CopyBlock(int32_t from, int32_t to) override { model_->CopyBlock(from, to); }
  void CopyState(int32_t from, int32_t to) override { model_->CopyState(from, to); }
  absl::Span<std::byte> BlockBytes(int32_t block) override { return model_->BlockBytes(block); }
  bool has_draft_head() const override { return model_->has_draft_head(); }

  absl::Status Forward(absl::Span<const RunnerChunk> chunks, RunnerOutput& output) override {
    for (const RunnerChunk& chunk : chunks) {
      for (size_t i = 0; i < chunk.token_ids.size(); ++i) {
        const int64_t position = chunk.start + static_cast<int64_t>(i);
        if (position > 0) {
          const int32_t before =
              i > 0 ? chunk.token_ids[i - 1] : At(chunk.block_table, position - 1);
          next_[{position, before}] = chunk.token_ids[i];
        }
        At(chunk.block_table, position) = chunk.token_ids[i];
      }
    }
    return model_->Forward(chunks, output);
  }

  absl::Status Draft(absl::Span<const RunnerDraft> drafts, RunnerOutput& output) override {
    RETURN_IF_ERROR(model_->Draft(drafts, output));
    int64_t row = 0;
    for (const RunnerDraft& draft : drafts) {
      const auto count = static_cast<int64_t>(draft.next_tokens.size());
      for (int64_t i = count - draft.num_logit_rows; i < count; ++i, ++row) {
        const auto known = next_.find({draft.start + i + 2, draft.next_tokens[i]});
        if (known != next_.end()) output.logits[row * output_dim() + known->second] = 1e4f;
      }
    }
    return absl::OkStatus();
  }

 private:
  int32_t& At(absl::Span<const int32_t> table, int64_t position) {
    return tokens_[table[position / block_tokens()] * block_tokens() + position % block_tokens()];
  }

  const std::unique_ptr<ModelRunner> model_;
  std::map<int64_t, int32_t> tokens_;                    // by place in the cache
  std::map<std::pair<int64_t, int32_t>, int32_t> next_;  // by position and the token before
};

struct Setup {
  const char* name;
  EngineOptions options;
  int64_t num_blocks = 64;
  int num_threads = 1;
  models::ComputeDtype dtype = models::ComputeDtype::kBf16;
  int64_t num_spare_states = 20;
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
  setups.push_back({"own draft head", Options(), 24});
  setups.back().options.speculation = Speculation::kAuto;
  setups.push_back({"own draft head, small chunks, preempted, few states", Options(), 9, 2});
  setups.back().options.speculation = Speculation::kAuto;
  setups.back().options.max_batch_tokens = 20;
  setups.back().options.state_interval_tokens = 16;
  setups.back().num_spare_states = 3;
  setups.push_back({"cache file", Options(), 10});
  setups.back().options.cache_folder = std::filesystem::temp_directory_path();
  setups.back().options.cache_file_bytes_max = 64 << 20;
  return setups;
}

std::unique_ptr<ModelRunner> NewRunner(const std::filesystem::path& folder, const Setup& setup) {
  models::CpuModelOptions model_options;
  model_options.dtype = setup.dtype;
  model_options.num_threads = setup.num_threads;
  model_options.draft_head = setup.options.speculation == Speculation::kAuto;
  absl::StatusOr<std::unique_ptr<models::CpuModel>> model =
      models::CpuModel::Load(folder, model_options);
  EXPECT_OK(model);
  CpuRunnerOptions options;
  options.kv_cache = models::DefaultKvCacheFormat(setup.dtype);
  options.kv_cache_bytes =
      setup.num_blocks *
      models::PagedKvCache::BlockBytes((*model)->config(), kBlockTokens, options.kv_cache);
  options.max_sequences = setup.options.max_running_sequences;
  options.spare_state_bytes =
      setup.num_spare_states * models::RecurrentState::SlotBytes((*model)->config());
  absl::StatusOr<std::unique_ptr<ModelRunner>> runner =
      NewCpuModelRunner(*std::move(model), options);
  EXPECT_OK(runner);
  if ((*runner)->has_draft_head()) return std::make_unique<HelpedHead>(*std::move(runner));
  return *std::move(runner);
}

std::unique_ptr<Engine> Start(const std::filesystem::path& folder, const Setup& setup,
                              absl::Span<const std::filesystem::path> adapters) {
  std::unique_ptr<ModelRunner> runner = NewRunner(folder, setup), draft;
  // The same model drafts: most guesses are right, those for LoRA neighbours often wrong. For
  // hybrid models, which cannot draft for others, another one does.
  if (setup.options.speculation == Speculation::kDraftModel) {
    const bool can_draft = runner->num_state_slots() == 0;
    draft = NewRunner(can_draft ? folder : testing::DataDir() / "golden" / "qwen3", setup);
  }
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::Create(setup.options, std::move(runner), TokenTable{kVocab, {7}, nullptr}, nullptr,
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
  int64_t num_preemptions = 0, num_hits = 0, num_accepted = 0, num_accepted_of_head = 0;
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
    EXPECT_EQ(stats.num_free_states, stats.num_states);
    if (stats.speculation == Speculation::kMtp) num_accepted_of_head += stats.num_accepted_tokens;
    num_preemptions += stats.num_preemptions;
    num_hits += stats.num_prefix_hits;
    num_accepted += stats.num_accepted_tokens;
  }
  EXPECT_GT(num_preemptions, 0);
  EXPECT_GT(num_hits, 0);
  EXPECT_GT(num_accepted, 0);
  const bool has_head = alone->stats().num_states > 0;  // as the hybrids here do
  EXPECT_EQ(num_accepted_of_head > 0, has_head);
}

TEST(BatchInvarianceTest, HybridModelInBf16) {
  HoldPromise(testing::DataDir() / "golden" / "qwen3_next", models::ComputeDtype::kBf16);
}

TEST(BatchInvarianceTest, HybridModelInFloat32) {
  HoldPromise(testing::DataDir() / "golden" / "qwen3_next", models::ComputeDtype::kF32);
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
                         ::testing::Values("qwen1", "qwen2_moe", "qwen3_moe", "qwen3_5",
                                           "qwen3_5_moe"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace oneai::serving
