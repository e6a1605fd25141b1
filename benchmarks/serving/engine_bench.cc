// Tokens per second through the engine for a model of the shape of Qwen3-0.6B with random weights:
// prefill, decode of one request, and decode of many together, each against what this machine was
// measured to be capable of in the same run.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "absl/time/clock.h"
#include "benchmarks/kernels/machine_peaks.h"
#include "kernels/gemm/gemm.h"
#include "models/qwen/weights.h"
#include "models/runtime/cpu_model.h"
#include "models/safetensors/checkpoint_writer.h"
#include "serving/engine/cpu_model_runner.h"
#include "serving/engine/engine.h"

namespace oneai::serving {
namespace {

models::ModelConfig Qwen3Shape() {
  models::ModelConfig config;
  config.vocab_size = 151936;
  config.hidden_size = 1024;
  config.intermediate_size = 3072;
  config.num_layers = 28;
  config.num_heads = 16;
  config.num_kv_heads = 8;
  config.head_dim = 128;
  config.qk_norm = true;
  config.tie_word_embeddings = true;
  config.layer_types.assign(config.num_layers, models::LayerType::kFullAttention);
  return config;
}

// Small random weights by way of a checkpoint in a temporary folder, which is deleted at once (the
// mapping stays).
std::unique_ptr<models::CpuModel> RandomModel(const models::ModelConfig& config) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("oneai-engine-bench-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  std::vector<models::TensorSpec> specs;
  for (const models::qwen::WeightSpec& weight : models::qwen::WeightTable(config)) {
    specs.push_back({weight.name, models::DType::kBF16, weight.shape});
  }
  std::unique_ptr<models::CheckpointWriter> writer =
      *models::CheckpointWriter::Create(folder, specs);
  std::mt19937 random(1);
  std::vector<uint16_t> values;
  for (const models::TensorSpec& spec : specs) {
    values.resize(static_cast<size_t>(*models::TensorBytes(spec)) / 2);
    for (uint16_t& value : values)
      value = static_cast<uint16_t>(0x3c00 | (random() & 0x80ff));  // about +-0.01
    writer
        ->Append(spec.name, {reinterpret_cast<const std::byte*>(values.data()), 2 * values.size()})
        .IgnoreError();
  }
  if (!writer->Commit().ok()) std::abort();
  std::unique_ptr<models::CpuModel> model =
      *models::CpuModel::Create(config, *models::Checkpoint::Open(folder), {});
  std::filesystem::remove_all(folder);
  return model;
}

struct Run {
  double first_token_s = 0;  // until every request had its first token
  double rest_s = 0;         // from then to the last token
};

// `num_requests` at once, each of `num_prompt` and `num_output` tokens.
Run Measure(Engine& engine, int num_requests, int64_t num_prompt, int64_t num_output) {
  std::vector<std::shared_ptr<GenerationStream>> streams;
  const absl::Time start = absl::Now();
  for (int i = 0; i < num_requests; ++i) {
    GenerationRequest request;
    for (int64_t t = 0; t < num_prompt; ++t)
      request.prompt.push_back(static_cast<int32_t>(1 + (t * 131 + i) % 150000));
    request.sampling.temperature = 0;
    request.sampling.max_tokens = num_output;
    streams.push_back(*engine.Submit(std::move(request)));
  }
  std::vector<bool> finished;
  for (auto& stream : streams) finished.push_back(stream->Wait().last());
  const absl::Time first = absl::Now();
  for (size_t i = 0; i < streams.size(); ++i) {
    while (!finished[i]) finished[i] = streams[i]->Wait().last();
  }
  return {absl::ToDoubleSeconds(first - start), absl::ToDoubleSeconds(absl::Now() - first)};
}

double PeakFlops(kernels::KernelContext& context) {
  double peak = 0;
  for (const auto& variant : kernels::GemmVariants(kernels::Dtype::kBFloat16)) {
    if (!variant.is_supported(kernels::GetCpuInfo().features)) continue;
    peak = std::max(peak, kernels::MeasurePeakFlops(variant.name, context));
  }
  return peak;
}

int Main() {
  const models::ModelConfig config = Qwen3Shape();
  std::unique_ptr<models::CpuModel> model = RandomModel(config);
  const double weight_bytes = static_cast<double>(model->weight_bytes());
  // Multiply-adds a prompt token needs: all matrices but the head, which only the last token
  // passes.
  const double body_weights =
      weight_bytes / 2 - static_cast<double>(config.vocab_size * config.hidden_size);
  kernels::KernelContext context(0);
  const double bandwidth = kernels::MeasureReadBandwidth(context);
  const double peak = PeakFlops(context);
  std::printf("threads %d, memory %.1f GB/s, matrix peak %.0f GFLOP/s, weights %.2f GB\n",
              context.threads().num_threads(), bandwidth / 1e9, peak / 1e9, weight_bytes / 1e9);

  std::unique_ptr<ModelRunner> runner =
      *NewCpuModelRunner(std::move(model), models::ComputeDtype::kBf16, int64_t{2} << 30);
  const int64_t vocab = runner->vocab_size();
  std::unique_ptr<Engine> engine = *Engine::Create(
      {}, std::move(runner), TokenTable{vocab, {}, nullptr}, nullptr, Clock::Real());
  Measure(*engine, 1, 16, 2);  // touch the weights

  const Run prefill = Measure(*engine, 1, 1024, 1);
  std::printf("prefill 1 x 1024        %8.1f tokens/s  %5.1f%% of the matrix peak\n",
              1024 / prefill.first_token_s,
              100 * 2 * body_weights * 1024 / prefill.first_token_s / peak);
  for (const int num_requests : {1, 4, 16}) {
    const int64_t num_output = 33;
    const Run decode = Measure(*engine, num_requests, 32, num_output);
    const double steps = static_cast<double>(num_output - 1);
    const double tokens_per_s = num_requests * steps / decode.rest_s;
    std::printf(
        "decode %2d at context 32  %8.1f tokens/s  %5.1f%% of the memory bandwidth, "
        "%5.1f%% of the matrix peak\n",
        num_requests, tokens_per_s, 100 * weight_bytes * steps / decode.rest_s / bandwidth,
        100 * weight_bytes * tokens_per_s / peak);
  }
  return 0;
}

}  // namespace
}  // namespace oneai::serving

int main() { return oneai::serving::Main(); }
