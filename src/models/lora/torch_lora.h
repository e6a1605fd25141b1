// File: models/lora/torch_lora.h
//
// LoRA in training: the factors are the parameters, the base is frozen.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "models/lora/lora_adapter.h"
#include "models/runtime/torch_model.h"

namespace oneai::models {

// An adapter's factors as float32 leaves, under their names in the file.
struct TorchLora {
  struct Module {
    std::string weight;  // of the base
    double scale = 0;
    torch::Tensor a, b;  // [rank, in], [out, rank]
  };
  std::vector<Module> modules;
  std::vector<NamedParameter> parameters;  // the same tensors: a, b of every module
};

// The factors of `adapter` as trainable tensors.
absl::StatusOr<TorchLora> LoadTorchLora(const LoraAdapter& adapter,
                                        torch::Device device = torch::kCPU);

// Stops gradients to all of `weights`.
void Freeze(TorchWeights& weights);

// The adapted model: W + scale * B A in place of every adapted W, as differentiable functions of
// the factors; call it again after each optimizer step. Costs a matrix's memory per adapted matrix,
// and B A once per step, little beside a forward pass of many tokens. Internal when `base` lacks a
// matrix. Throws c10::Error.
absl::StatusOr<TorchWeights> ApplyLora(const TorchWeights& base, const TorchLora& lora);

}  // namespace oneai::models
