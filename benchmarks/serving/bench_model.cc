#include "benchmarks/serving/bench_model.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "models/qwen/weights.h"
#include "serving/engine/cpu_model_runner.h"

namespace oneai::serving {
namespace {

double NumElements(const std::vector<int64_t>& shape) {
  double count = 1;
  for (int64_t size : shape) count *= static_cast<double>(size);
  return count;
}

// `packed_bytes` are those of all matrices; what one token reads of them is shared out by elements.
ModelCost CostOf(const models::ModelConfig& config, double packed_bytes,
                 models::KvCacheFormat format) {
  double body = 0, used = 0, head = 0, stored = 0;
  for (const models::qwen::WeightSpec& spec : models::qwen::WeightTable(config)) {
    const double count = NumElements(spec.shape);
    const bool is_head = spec.name == models::qwen::HeadName(config);
    if (is_head) head = count;
    if (spec.name == models::qwen::kEmbedding || is_head) continue;
    stored += count;
    const double share = absl::StrContains(spec.name, ".experts.") && config.moe.num_experts > 0
                             ? static_cast<double>(config.moe.experts_per_token) /
                                   static_cast<double>(config.moe.num_experts)
                             : 1;
    used += count * share;
    body += 2 * count * share;
  }
  ModelCost cost;
  cost.body_flops = body;
  cost.head_flops = 2 * head;
  cost.weight_bytes = packed_bytes * (used + head) / (stored + head);
  cost.kv_bytes =
      static_cast<double>(models::PagedKvCache::BlockBytes(config, kBlockTokens, format)) /
      static_cast<double>(kBlockTokens);
  const auto num_full = std::count(config.layer_types.begin(), config.layer_types.end(),
                                   models::LayerType::kFullAttention);
  cost.attention_flops = 4.0 * static_cast<double>(num_full * config.num_heads * config.head_dim);
  return cost;
}

double StatusField(const std::string& name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (absl::StartsWith(line, name)) return 1024 * std::atof(line.c_str() + name.size());
  }
  return 0;
}

}  // namespace

absl::StatusOr<BenchModel> OpenBenchModel(const BenchOptions& options, EngineOptions engine) {
  const absl::Time start = absl::Now();
  models::CpuModelOptions model_options;
  model_options.num_threads = options.threads;
  model_options.weights = options.quantize;
  ASSIGN_OR_RETURN(std::unique_ptr<models::CpuModel> model,
                   models::CpuModel::Load(options.model, model_options));
  BenchModel result;
  result.config = model->config();
  result.cost = CostOf(result.config, static_cast<double>(model->weight_bytes()), options.kv_cache);
  CpuRunnerOptions runner_options;
  runner_options.kv_cache = options.kv_cache;
  runner_options.kv_cache_bytes = std::max<int64_t>(
      int64_t{1} << 28,
      static_cast<int64_t>(result.cost.kv_bytes * 4.0 * static_cast<double>(options.context)));
  result.model = model.get();
  ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner,
                   NewCpuModelRunner(std::move(model), runner_options));
  const int64_t vocab = runner->vocab_size();
  ASSIGN_OR_RETURN(result.engine,
                   Engine::Create(engine, std::move(runner), TokenTable{vocab, {}, nullptr},
                                  nullptr, Clock::Real()));
  result.load_s = absl::ToDoubleSeconds(absl::Now() - start);
  return result;
}

void DropFromPageCache(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

double ResidentBytes() { return StatusField("VmRSS:"); }
double PeakResidentBytes() { return StatusField("VmHWM:"); }

}  // namespace oneai::serving
