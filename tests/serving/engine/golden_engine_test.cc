// The engine on a real model: greedy answers equal the golden continuation, alone, batched, in
// chunks and after preemption.
#include <filesystem>

#include "gtest/gtest.h"
#include "models/json/json_reader.h"
#include "models/runtime/cpu_model.h"
#include "serving/engine/cpu_model_runner.h"
#include "serving/engine/engine.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

struct GoldenCase {
  std::vector<int32_t> prompt, greedy;
};

std::filesystem::path Folder() { return testing::DataDir() / "golden" / "qwen3"; }

std::vector<GoldenCase> LoadCases() {
  const absl::StatusOr<models::Json> golden = models::ReadJsonFile(Folder() / "golden.json");
  EXPECT_OK(golden);
  std::vector<GoldenCase> cases;
  for (const models::Json& c : golden->at("cases")) {
    cases.push_back({c.at("input_ids").get<std::vector<int32_t>>(),
                     c.at("greedy").get<std::vector<int32_t>>()});
  }
  return cases;
}

class GoldenEngineTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Engine> Start(EngineOptions options, int64_t num_blocks) {
    models::CpuModelOptions model_options;
    model_options.dtype = models::ComputeDtype::kF32;
    model_options.num_threads = 2;
    absl::StatusOr<std::unique_ptr<models::CpuModel>> model =
        models::CpuModel::Load(Folder(), model_options);
    EXPECT_OK(model);
    const int64_t bytes =
        num_blocks * models::PagedKvCache::BlockBytes((*model)->config(), kBlockTokens,
                                                      models::ComputeDtype::kF32);
    absl::StatusOr<std::unique_ptr<ModelRunner>> runner =
        NewCpuModelRunner(*std::move(model), {models::KvCacheFormat::kF32, bytes});
    EXPECT_OK(runner);
    const int64_t vocab = (*runner)->vocab_size();
    absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(
        options, *std::move(runner), TokenTable{vocab, {}, nullptr}, nullptr, Clock::Real());
    EXPECT_OK(engine);
    return *std::move(engine);
  }

  static EngineOptions Options() {
    EngineOptions options;
    options.max_context_tokens = 112;
    options.max_batch_tokens = 128;
    options.max_running_sequences = 8;
    return options;
  }

  static std::vector<int32_t> Collect(GenerationStream& stream) {
    std::vector<int32_t> tokens;
    for (;;) {
      const GenerationEvent event = stream.Wait();
      tokens.insert(tokens.end(), event.token_ids.begin(), event.token_ids.end());
      if (!event.last()) continue;
      EXPECT_OK(event.status);
      return tokens;
    }
  }

  static GenerationRequest Request(const GoldenCase& c) {
    GenerationRequest request;
    request.prompt = c.prompt;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = static_cast<int64_t>(c.greedy.size());
    return request;
  }

  // All cases at once, `copies` times.
  static EngineStats ExpectGolden(Engine& engine, int copies) {
    const std::vector<GoldenCase> cases = LoadCases();
    std::vector<std::shared_ptr<GenerationStream>> streams;
    for (int copy = 0; copy < copies; ++copy) {
      for (const GoldenCase& c : cases) {
        absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine.Submit(Request(c));
        EXPECT_OK(stream);
        streams.push_back(*stream);
      }
    }
    for (size_t i = 0; i < streams.size(); ++i) {
      EXPECT_EQ(Collect(*streams[i]), cases[i % cases.size()].greedy) << "case " << i;
    }
    return engine.stats();
  }
};

TEST_F(GoldenEngineTest, AloneMatchesTheGolden) {
  const std::unique_ptr<Engine> engine = Start(Options(), 64);
  for (const GoldenCase& c : LoadCases()) {
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine->Submit(Request(c));
    ASSERT_OK(stream);
    EXPECT_EQ(Collect(**stream), c.greedy);
  }
}

TEST_F(GoldenEngineTest, MixedBatchMatchesTheGolden) {
  const EngineStats stats = ExpectGolden(*Start(Options(), 64), 3);
  EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
}

TEST_F(GoldenEngineTest, ChunkedPrefillMatchesTheGolden) {
  EngineOptions options = Options();
  options.max_batch_tokens = 9;  // prompts of up to 70 tokens come in many chunks, between decodes
  ExpectGolden(*Start(options, 64), 3);
}

TEST_F(GoldenEngineTest, PreemptionMatchesTheGolden) {
  const EngineStats stats = ExpectGolden(*Start(Options(), 8), 3);
  EXPECT_GT(stats.num_preemptions, 0);
  EXPECT_EQ(stats.num_free_blocks, 8);
}

// Seeded sampling from a real model does not depend on the company either.
TEST_F(GoldenEngineTest, SampledAnswersDoNotDependOnTheBatch) {
  const std::vector<GoldenCase> cases = LoadCases();
  const std::unique_ptr<Engine> engine = Start(Options(), 8);
  std::vector<std::vector<int32_t>> alone;
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < 12; ++i) {
    GenerationRequest request = Request(cases[i % cases.size()]);
    request.sampling.temperature = 1;
    request.sampling.top_p = 0.95;
    request.sampling.seed = 1000 + i;
    requests.push_back(request);
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine->Submit(request);
    ASSERT_OK(stream);
    alone.push_back(Collect(**stream));
  }
  std::vector<std::shared_ptr<GenerationStream>> streams;
  for (const GenerationRequest& request : requests) {
    ASSERT_OK_AND_ASSIGN(streams.emplace_back(), engine->Submit(request));
  }
  for (size_t i = 0; i < streams.size(); ++i) EXPECT_EQ(Collect(*streams[i]), alone[i]) << i;
}

}  // namespace
}  // namespace oneai::serving
