// The model under measurement, and what its work costs at least.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "models/runtime/cpu_model.h"
#include "serving/engine/engine.h"

namespace oneai::serving {

struct BenchOptions {
  std::filesystem::path model;  // folder
  std::optional<kernels::WeightFormat> quantize;
  models::KvCacheFormat kv_cache = models::KvCacheFormat::kBf16;
  int threads = 0;
  int rounds = 3;
  int64_t max_batch_tokens = 512;
  int64_t context = 4096;
};

// Least work of a token, from the shapes alone; of experts, only those that a token uses.
struct ModelCost {
  double body_flops = 0;       // a token through all layers
  double head_flops = 0;       // a row of logits
  double weight_bytes = 0;     // read for one decode step of one sequence
  double kv_bytes = 0;         // of keys and values of one token, all layers
  double attention_flops = 0;  // of one token with one earlier token, all layers
};

struct BenchModel {
  std::unique_ptr<Engine> engine;
  models::CpuModel* model = nullptr;  // the engine's; touch it only while that has no request
  models::ModelConfig config;
  ModelCost cost;
  double load_s = 0;  // from the call to an engine that takes requests
};

absl::StatusOr<BenchModel> OpenBenchModel(const BenchOptions& options, EngineOptions engine);

// Drops the folder's files from the page cache, as far as the system lets go of them.
void DropFromPageCache(const std::filesystem::path& folder);

// Resident memory of this process in bytes: now, and at most so far.
double ResidentBytes();
double PeakResidentBytes();

}  // namespace oneai::serving
