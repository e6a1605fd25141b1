// File: models/quantize/random_checkpoint.h
//
// A checkpoint with random weights, for benchmarks and tests: it runs at the speed of the trained
// model of its shape.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "models/quantize/export.h"

namespace oneai::models {

// Writes a model folder of `config`'s shape in config.dtype: matrices normal(0, initializer_range),
// norms ones, biases zeros; the draft
// head of one layer, too, where config.num_mtp_layers says so (Unimplemented: more layers). The
// tokenizer is that of folder `tokenizer`, or, when empty, one of the 256 bytes and Qwen's control
// tokens at their usual ids (the first that fit, for small vocabularies). Weights stream to the
// disk; the same seed gives the same bytes for any number of threads. Errors as ExportFolder.
absl::StatusOr<ExportReport> WriteRandomCheckpoint(const ModelConfig& config, uint64_t seed,
                                                   const std::filesystem::path& tokenizer,
                                                   const std::filesystem::path& target,
                                                   const ExportOptions& options);

// The quantile function of the standard normal distribution at `p` in (0, 1), to 1e-9 relative.
double NormalQuantile(double p);

}  // namespace oneai::models
