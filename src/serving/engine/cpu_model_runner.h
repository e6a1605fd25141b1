// File: serving/engine/cpu_model_runner.h
//
// models::CpuModel and its KV cache as a ModelRunner.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "models/runtime/cpu_model.h"
#include "serving/engine/model_runner.h"

namespace oneai::serving {

// Tokens of a KV block: small enough to waste little of the last one, large enough to keep tables
// short.
inline constexpr int64_t kBlockTokens = 16;

struct CpuRunnerOptions {
  models::KvCacheFormat kv_cache = models::KvCacheFormat::kBf16;
  int64_t kv_cache_bytes = 0;
  // Of models with recurrent layers only: sequences whose state is held, and what memory their
  // states for guesses and for the prefix cache may take beside that.
  int64_t max_sequences = 32;
  int64_t spare_state_bytes = 0;
};

// Takes `model` and gives it a cache of as many blocks as fit kv_cache_bytes. kInvalidArgument: not
// one block fits. kResourceExhausted: no memory.
absl::StatusOr<std::unique_ptr<ModelRunner>> NewCpuModelRunner(
    std::unique_ptr<models::CpuModel> model, const CpuRunnerOptions& options);

}  // namespace oneai::serving
