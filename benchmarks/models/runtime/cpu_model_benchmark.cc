// Tokens per second of serving steps, prefill and batched decode, for models of published shapes
// (random weights) and for the demo's.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <random>

#include "benchmark/benchmark.h"
#include "models/config/published.h"
#include "models/qwen/weights.h"
#include "models/runtime/cpu_model.h"
#include "models/safetensors/checkpoint_writer.h"

namespace oneai::models {
namespace {

constexpr int64_t kBlockTokens = 16;

// What `model` stands for: 0 Qwen3-0.6B; 1 the demo's model; 2 two layers of Qwen3-30B-A3B with a
// small vocabulary, which is what its experts cost.
ModelConfig Config(int64_t model) {
  ModelConfig config = *PublishedConfig(model == 2 ? "qwen3-30b-a3b" : "qwen3-0.6b");
  if (model == 1) {
    config.vocab_size = 2048;
    config.hidden_size = 256;
    config.intermediate_size = 768;
    config.num_layers = 6;
    config.num_heads = 8;
    config.num_kv_heads = 4;
    config.head_dim = 32;
  } else if (model == 2) {
    config.vocab_size = 8192;
    config.num_layers = 2;
  }
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  return config;
}

// Writes a checkpoint of small random bf16 values and loads it.
std::unique_ptr<CpuModel> MakeModel(const ModelConfig& config) {
  char folder[] = "/tmp/oneai-benchmark-XXXXXX";
  if (mkdtemp(folder) == nullptr) std::abort();
  std::vector<TensorSpec> specs;
  for (const qwen::WeightSpec& weight : qwen::WeightTable(config)) {
    specs.push_back({weight.name, DType::kBF16, weight.shape});
  }
  std::unique_ptr<CheckpointWriter> writer = *CheckpointWriter::Create(folder, specs);
  std::minstd_rand random(1);
  std::vector<uint16_t> values;
  for (const TensorSpec& spec : specs) {
    values.resize(static_cast<size_t>(*TensorBytes(spec)) / 2);
    for (uint16_t& value : values)
      value = static_cast<uint16_t>(0x3c00 | (random() & 0x80ff));  // +-0.01 or so
    writer
        ->Append(spec.name, {reinterpret_cast<const std::byte*>(values.data()), 2 * values.size()})
        .IgnoreError();
  }
  if (!writer->Commit().ok()) std::abort();
  std::unique_ptr<CpuModel> model = *CpuModel::Create(config, *Checkpoint::Open(folder), {});
  std::filesystem::remove_all(folder);  // the mapping keeps the embedding alive
  return model;
}

void RunSteps(benchmark::State& state, int64_t num_sequences, int64_t chunk_tokens,
              int64_t context) {
  const std::unique_ptr<CpuModel> model = MakeModel(Config(state.range(0)));
  const int64_t blocks = (context + chunk_tokens + kBlockTokens - 1) / kBlockTokens;
  PagedKvCache cache = *PagedKvCache::Create(model->config(), blocks * num_sequences, kBlockTokens,
                                             ComputeDtype::kBf16);
  for (int64_t block = 0; block < cache.num_blocks(); ++block)
    std::ranges::fill(cache.Block(block), std::byte{0});
  std::vector<int32_t> table(static_cast<size_t>(cache.num_blocks())),
      tokens(static_cast<size_t>(chunk_tokens));
  std::iota(table.begin(), table.end(), 0);
  std::iota(tokens.begin(), tokens.end(), 1);
  std::vector<SequenceChunk> chunks;
  for (int64_t s = 0; s < num_sequences; ++s) {
    chunks.push_back({tokens, context, absl::MakeConstSpan(table).subspan(s * blocks, blocks), 1});
  }
  std::vector<float> logits;
  for (auto _ : state) {
    if (!model->Forward(chunks, cache, logits).ok()) state.SkipWithError("the step was refused");
  }
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * num_sequences * chunk_tokens),
                         benchmark::Counter::kIsRate);
  state.counters["weight B/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * model->weight_bytes()), benchmark::Counter::kIsRate);
}

void BM_Prefill(benchmark::State& state) { RunSteps(state, 1, state.range(1), 0); }
BENCHMARK(BM_Prefill)
    ->ArgNames({"model", "tokens"})
    ->Args({1, 256})
    ->Args({0, 512})
    ->Args({2, 512})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void BM_Decode(benchmark::State& state) { RunSteps(state, state.range(1), 1, state.range(2)); }
BENCHMARK(BM_Decode)
    ->ArgNames({"model", "sequences", "context"})
    ->Args({1, 1, 128})
    ->Args({1, 16, 128})
    ->Args({0, 1, 128})
    ->Args({0, 16, 128})
    ->Args({0, 1, 2048})
    ->Args({2, 1, 128})
    ->Args({2, 16, 128})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace oneai::models

BENCHMARK_MAIN();
