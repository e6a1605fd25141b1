// File: models/lora/lora_adapter.h
//
// A PEFT LoRA adapter of a model: per adapted matrix W [out, in] the factors A [rank, in] and
// B [out, rank] of its change scale * B A. Source: arXiv:2106.09685, section 4.1; names as
// huggingface/peft saves them, base_model.model.<module>.lora_{A,B}.weight.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "models/lora/lora_config.h"
#include "models/safetensors/checkpoint.h"

namespace oneai::models {

// The change of one matrix. Views borrow the adapter.
struct LoraModule {
  std::string weight;  // name in qwen::WeightTable, "model.layers.0.mlp.up_proj.weight"
  int64_t rank = 0;
  double scale = 0;
  TensorView a, b;  // under their names in the file
};

// Immutable; copies share the mapped file.
class LoraAdapter {
 public:
  // Reads adapter_config.json and adapter_model.safetensors of `folder` for a model of `model`'s
  // shape. NotFound: no such file. Unimplemented: see ParseLoraConfig, and adapters of the
  // embedding. InvalidArgument, naming tensor or module: a selected matrix without its factors, a
  // factor of a wrong shape or dtype, a tensor that no selected matrix explains, or a target that
  // selects nothing.
  static absl::StatusOr<LoraAdapter> Load(const std::filesystem::path& folder,
                                          const ModelConfig& model);

  const std::vector<LoraModule>& modules() const { return modules_; }  // in the table's order

 private:
  explicit LoraAdapter(Checkpoint tensors) : tensors_(std::move(tensors)) {}
  absl::Status Match(const LoraConfig& config, const ModelConfig& model);

  Checkpoint tensors_;
  std::vector<LoraModule> modules_;
};

// `base` with W + scale * B A, computed in float32, in place of every adapted W; the others stay
// mapped. Takes 4 bytes per adapted element of memory. InvalidArgument when `base` is not a
// checkpoint of `model`.
absl::StatusOr<Checkpoint> MergeAdapter(const ModelConfig& model, const Checkpoint& base,
                                        const LoraAdapter& adapter);

}  // namespace oneai::models
