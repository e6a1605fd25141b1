// File: models/gguf/gguf_names.h
//
// What GGUF calls the architectures and tensors of Hugging Face checkpoints: names only; which rows
// of which tensor lie where is gguf_layout.h. Source: the MODEL_TENSOR tables of llama.cpp's
// gguf-py and its conversion of qwen2, qwen2_moe, qwen3, qwen3_moe, qwen3_next, qwen3_5(_moe) and
// llama.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace oneai::models {

// `general.architecture` <-> `model_type`; nullopt: none that is converted. "qwen35" and
// "qwen35moe" are the text parts "qwen3_5_text" and "qwen3_5_moe_text"; the names of the whole
// models, "qwen3_5" and "qwen3_5_moe", give the same architectures.
std::optional<std::string> HfModelType(absl::string_view architecture);
std::optional<std::string> GgufArchitecture(absl::string_view model_type);
// "qwen2, qwen2moe, ...".
std::string KnownGgufArchitectures();

// Architectures with Gated DeltaNet layers, which have names of their own. Their draft layer is
// counted behind the model's layers: `blk.<num_layers>` is `mtp.layers.0`.
bool IsHybridArchitecture(absl::string_view architecture);

// How the names of a file are to be understood.
struct GgufNaming {
  bool hybrid = false;
  int64_t num_layers = 0;  // of the model, without a draft layer; read for hybrids only
};

// The Hugging Face name of GGUF tensor `name`. `experts`: a stack over experts, whose name here has
// '*' in the place of the expert's number. nullopt: a tensor of no known part.
struct HfName {
  std::string name;
  bool experts = false;
};
std::optional<HfName> ToHfName(absl::string_view gguf_name, const GgufNaming& naming = {});

// The inverse. For the matrix of an expert, `expert` is its number and `name` that of the stack.
struct GgufName {
  std::string name;
  int64_t expert = -1;
};
std::optional<GgufName> ToGgufName(absl::string_view hf_name, const GgufNaming& naming = {});

}  // namespace oneai::models
