// File: models/weights/quantization.h
//
// What `quantization_config` in a config.json says about how weights are stored. Sources: the
// releases of Qwen in FP8 (transformers, quantizers/quantizer_finegrained_fp8.py), GPTQ
// (GPTQModel's BaseQuantizeConfig) and AWQ (AutoAWQ's AwqConfig).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/json/json_reader.h"

namespace oneai::models {

enum class QuantizationMethod : uint8_t { kNone, kFloat8, kGptq, kAwq };

struct Quantization {
  QuantizationMethod method = QuantizationMethod::kNone;
  int bits = 0;             // kGptq: 4 or 8; kAwq: 4
  int64_t group_size = -1;  // inputs that share a scale; -1: all of them
  // What is added to a stored zero point: 1 in the original GPTQ files, 0 in "gptq_v2" and AWQ.
  int zero_point_bias = 0;
  // kGptq: every zero point is the middle code. Files exist (Qwen3.5-27B-GPTQ-Int4, by
  // vllm-project/vllm#38966) whose zero points are stored in the other way than their
  // checkpoint_format says, which this makes harmless.
  bool symmetric = false;
  int64_t tile_rows = 0, tile_columns = 0;  // kFloat8: weights that share a scale
  // Modules whose weights stay as they were; "lm_head" stands for any "...lm_head".
  std::vector<std::string> plain_modules;
};

// kNone where `config` has no quantization_config. Unimplemented, naming key and what is read: a
// method or variant that is not. InvalidArgument: a key missing, of a wrong type or out of range.
absl::StatusOr<Quantization> ReadQuantization(const Json& config, absl::string_view what);

// Whether `module` ("model.layers.0.mlp.down_proj") is one of `quantization.plain_modules` or
// inside one.
bool IsPlainModule(const Quantization& quantization, absl::string_view module);

}  // namespace oneai::models
