// Tokens per second of serving steps, prefill and batched decode, for a model of the shape of
// Qwen3-0.6B (random weights) and for the demo's.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <random>

#include "benchmark/benchmark.h"
#include "models/qwen/weights.h"
#include "models/runtime/cpu_model.h"
#include "models/safetensors/checkpoint_writer.h"

namespace oneai::models {
namespace {

constexpr int64_t kBlockTokens = 16;

ModelConfig Config(bool demo_sized) {
  ModelConfig config;
  config.vocab_size = demo_sized ? 2048 : 151936;
  config.hidden_size = demo_sized ? 256 : 1024;
  config.intermediate_size = demo_sized ? 768 : 3072;
  config.num_layers = demo_sized ? 6 : 28;
  config.num_heads = demo_sized ? 8 : 16;
  config.num_kv_heads = demo_sized ? 4 : 8;
  config.head_dim = demo_sized ? 32 : 128;
  config.qk_norm = true;
  config.tie_word_embeddings = true;
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
  std::mt19937 random(1);
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
  const std::unique_ptr<CpuModel> model = MakeModel(Config(state.range(0) == 1));
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
    chunks.push_back({tokens, context, absl::MakeConstSpan(table).subspan(s * blocks, blocks),
                      1});
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
    ->ArgNames({"demo", "tokens"})
    ->Args({1, 256})
    ->Args({0, 512})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void BM_Decode(benchmark::State& state) { RunSteps(state, state.range(1), 1, state.range(2)); }
BENCHMARK(BM_Decode)
    ->ArgNames({"demo", "sequences", "context"})
    ->Args({1, 1, 128})
    ->Args({1, 16, 128})
    ->Args({0, 1, 128})
    ->Args({0, 16, 128})
    ->Args({0, 1, 2048})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace oneai::models

BENCHMARK_MAIN();
