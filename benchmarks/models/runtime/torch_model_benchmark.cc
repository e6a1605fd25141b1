// Tokens per second of a training step (forward and backward) of the demo-sized model, packed
// documents.
#include "benchmark/benchmark.h"
#include "models/runtime/torch_model.h"

namespace oneai::models {
namespace {

// About five million parameters.
ModelConfig DemoConfig() {
  ModelConfig config;
  config.vocab_size = 2048;
  config.hidden_size = 256;
  config.intermediate_size = 768;
  config.num_layers = 6;
  config.num_heads = 8;
  config.num_kv_heads = 4;
  config.head_dim = 32;
  config.qk_norm = true;
  config.tie_word_embeddings = true;
  config.layer_types.assign(config.num_layers, LayerType::kFullAttention);
  return config;
}

void BM_TrainStep(benchmark::State& state) {
  const int64_t rows = state.range(0), row_length = state.range(1);
  const TorchWeights weights = *InitWeights(DemoConfig(), 1);
  const torch::Tensor tokens = torch::randint(2048, {rows, row_length}, torch::kInt64);
  const TorchBatch batch = MakeTorchBatchOfRows(tokens);
  const torch::Tensor targets = tokens.reshape({-1});
  const torch::ScalarType compute = state.range(2) == 0 ? torch::kBFloat16 : torch::kFloat32;
  for (auto _ : state) {
    const LossSum loss = Loss(weights, batch, targets, compute);
    (loss.sum / loss.num_tokens).backward();
    benchmark::DoNotOptimize(loss.sum.item<float>());
  }
  const double num_tokens = static_cast<double>(state.iterations() * rows * row_length);
  state.counters["tokens/s"] = benchmark::Counter(num_tokens, benchmark::Counter::kIsRate);
  state.counters["FLOP/s"] =
      benchmark::Counter(6.0 * num_tokens * static_cast<double>(weights.num_parameters()),
                         benchmark::Counter::kIsRate);
  state.counters["parameters"] = static_cast<double>(weights.num_parameters());
}
BENCHMARK(BM_TrainStep)
    ->ArgNames({"rows", "length", "f32"})
    ->Args({16, 256, 0})
    ->Args({4, 1024, 0})
    ->Args({2, 2048, 0})
    ->Args({4, 256, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace oneai::models

BENCHMARK_MAIN();
