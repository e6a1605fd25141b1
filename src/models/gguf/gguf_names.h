// File: models/gguf/gguf_names.h
//
// What GGUF calls the architectures and tensors of Hugging Face checkpoints. Source: the
// MODEL_TENSOR tables of llama.cpp's gguf-py and its conversion of qwen2, qwen2_moe, qwen3,
// qwen3_moe and llama.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::models {

// `general.architecture` <-> `model_type`; nullopt: none that is converted.
std::optional<std::string> HfModelType(absl::string_view architecture);
std::optional<std::string> GgufArchitecture(absl::string_view model_type);
// "qwen2, qwen2moe, ...".
std::string KnownGgufArchitectures();

// The Hugging Face name of GGUF tensor `name`. `experts`: a stack over experts, whose name here has
// '*' in the place of the expert's number. nullopt: a tensor of no known part.
struct HfName {
  std::string name;
  bool experts = false;
};
std::optional<HfName> ToHfName(absl::string_view gguf_name);

// The inverse. For the matrix of an expert, `expert` is its number and `name` that of the stack.
struct GgufName {
  std::string name;
  int64_t expert = -1;
};
std::optional<GgufName> ToGgufName(absl::string_view hf_name);

// Llama's q and k come with the rows of each head reordered for a rotary embedding of neighbouring
// pairs: stored row of head-row `row` of a head of `head_dim`, given in the Hugging Face order.
inline int64_t LlamaStoredRow(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, within = row % head_dim, half = head_dim / 2;
  return head * head_dim + within % half * 2 + within / half;
}

}  // namespace oneai::models
