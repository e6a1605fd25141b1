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

// Takes `model` and gives it a cache of as many blocks as fit `kv_cache_bytes`, of the model's
// compute dtype. kInvalidArgument: not one block fits.
// kResourceExhausted: no memory.
absl::StatusOr<std::unique_ptr<ModelRunner>> NewCpuModelRunner(
    std::unique_ptr<models::CpuModel> model, models::ComputeDtype dtype, int64_t kv_cache_bytes);

}  // namespace oneai::serving
