// File: models/qwen/block_names.h
//
// Which rows of which tensors make up each matrix of a decoder layer. Checkpoints arrange the same
// mathematics in many ways (q, k and v apart or in one c_attn; a gate between the heads of q;
// experts apart or stacked); here every arrangement becomes one list.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "models/config/model_config.h"

namespace oneai::models::qwen {

// Rows [begin, begin + rows) of tensor `name` of the weight table, seen as a matrix whose columns
// are the tensor's last dimension. Of a vector (a bias): elements.
struct RowPart {
  std::string name;
  int64_t begin = 0;
  int64_t rows = 0;
};
using RowParts = std::vector<RowPart>;

// The tensors of one layer. Empty: the layer has no such weight.
struct BlockNames {
  std::string input_norm, post_attention_norm;
  // q of all heads, k, v, and the gates of all heads.
  RowParts qkv, qkv_bias;
  std::string q_norm, k_norm, o, o_bias;
  RowParts qkvz, ba;  // as DeltaNetWeights (models/ops/ops.h) orders them
  std::string conv, a_log, dt_bias, delta_norm, delta_out;
  RowParts gate_up;
  std::string down;
  RowParts router;  // and the shared expert's gate
  std::vector<RowParts> expert_gate_up;
  RowParts expert_down;
  RowParts shared_gate_up;
  std::string shared_down;
};

// Names of layer `layer` of the model.
BlockNames NamesOfLayer(const ModelConfig& config, int64_t layer);

// Names of the one layer of the multi-token-prediction head of a hybrid model.
BlockNames NamesOfMtpLayer(const ModelConfig& config);

// "model.layers.3." or "transformer.h.3.".
std::string LayerPrefix(const ModelConfig& config, int64_t layer);

// Whether experts are stored as two stacked tensors a layer rather than three matrices an expert.
bool HasStackedExperts(const ModelConfig& config);

}  // namespace oneai::models::qwen
