// File: models/gguf/gguf_layout.h
//
// Where the numbers of each Hugging Face tensor lie in a GGUF file: one description, read by the
// source (GGUF to Hugging Face) and by the exporter (the other way). A tensor is seen as a matrix
// whose columns are its last dim; a vector is one row. llama.cpp stacks experts, reorders q and k
// of llama, takes projections of the hybrids apart, puts their value heads into another order and
// stores some values mapped. Source: llama.cpp's conversion of qwen2_moe, qwen3_next, qwen3_5 and
// llama (conversion/qwen.py, conversion/llama.py), src/models/qwen3next.cpp and qwen35.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/gguf/gguf_names.h"
#include "models/json/json_reader.h"

namespace oneai::models {

// What of a configuration decides the arrangement.
struct GgufLayout {
  std::string architecture;
  GgufNaming naming;
  int64_t llama_head_dim = 0;  // > 0: q and k are reordered
  int64_t num_experts = 0;
  bool stacked_experts = false;  // Hugging Face has them stacked, too (qwen3_5_moe)
  // Gated DeltaNet, hybrids only.
  int64_t num_key_heads = 0, num_value_heads = 0, key_dim = 0, value_dim = 0;
  // Older or other arrangements, which only reading meets: gate and up in one stack; in_proj_qkvz
  // as it is.
  bool fused_gate_up = false, whole_qkvz = false;

  // Value heads change places: from "those of key head 0, of key head 1, ..." to "the first of each
  // key head, the second of each, ...".
  bool tiles_value_heads() const {
    return architecture != "qwen3next" && num_key_heads > 0 && num_key_heads != num_value_heads;
  }
};

// Of a config.json as FlattenConfig or ConfigFromGguf give it.
GgufLayout LayoutOf(const Json& config);

// How a stored number comes from that of the Hugging Face tensor.
enum class ValueMap : uint8_t {
  kSame,
  kPlusOne,    // w + 1: norms that are centred on zero
  kNegatedExp  // -exp(w): A_log
};
float ToStored(ValueMap map, float value);
float FromStored(ValueMap map, float stored);

// Rows [row, row + num_rows) of a tensor are rows [stored_row, ...) of stored tensor `stored`.
struct RowRun {
  std::string stored;
  std::vector<int64_t> stored_shape;
  int64_t row = 0, stored_row = 0, num_rows = 0;
};

struct TensorPlace {
  std::vector<RowRun> runs;    // tile the tensor's rows, ascending
  int64_t llama_head_dim = 0;  // > 0: row r of a run is stored at LlamaStoredRow(r) of it
  // Where column c is stored; empty: at c.
  std::vector<int32_t> stored_columns;
  ValueMap map = ValueMap::kSame;
};

// Where tensor `name` ("model." or "mtp." before it) of `shape` is. nullopt: GGUF has no such
// tensor. InvalidArgument, naming it: a shape that the layout does not have.
absl::StatusOr<std::optional<TensorPlace>> PlaceOf(const GgufLayout& layout, absl::string_view name,
                                                   const std::vector<int64_t>& shape);

// The Hugging Face tensors that stored tensor `name` of `shape` is part of; none: it belongs to no
// part of the architecture. InvalidArgument, naming it: dims that its part cannot have.
struct HfTensor {
  std::string name;
  std::vector<int64_t> shape;
};
absl::StatusOr<std::vector<HfTensor>> HfTensorsOf(const GgufLayout& layout, absl::string_view name,
                                                  const std::vector<int64_t>& shape);

// Llama's q and k come with the rows of each head reordered for a rotary embedding of neighbouring
// pairs: stored row of head-row `row` of a head of `head_dim`, given in the Hugging Face order.
inline int64_t LlamaStoredRow(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, within = row % head_dim, half = head_dim / 2;
  return head * head_dim + within % half * 2 + within / half;
}

}  // namespace oneai::models
