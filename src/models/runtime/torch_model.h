// File: models/runtime/torch_model.h
//
// A model that can be trained: its parameters under their checkpoint names, and its loss. The
// trainer owns the optimizer, the schedule and the communication; this owns the mathematics.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "models/ops/torch_batch.h"
#include "models/ops/torch_loss.h"
#include "models/ops/torch_ops.h"
#include "models/qwen/forward.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/weight_source.h"
#include "torch/torch.h"

namespace oneai::models {

struct NamedParameter {
  std::string name;      // as in a Hugging Face checkpoint
  torch::Tensor tensor;  // float32 leaf with requires_grad; the optimizer updates it in place
};

// Parameters in the order of qwen::WeightTable (a tied embedding once), and the same tensors bound
// to the forward pass: an in-place update is seen by both. Copying shares the tensors.
struct TorchWeights {
  ModelConfig config;
  std::vector<NamedParameter> parameters;
  qwen::ModelWeights<TorchOps> model;

  int64_t num_parameters() const;  // elements, a tied embedding counted once
};

// Fresh weights: normal(0, initializer_range), norms 1, biases 0. Each element is a function of
// (seed, name, index) alone, so the values do not depend on machine, device, thread count or
// LibTorch version. Errors: those of ValidateModelConfig.
absl::StatusOr<TorchWeights> InitWeights(const ModelConfig& config, uint64_t seed,
                                         torch::Device device = torch::kCPU);

// Weights of a checkpoint in any format, converted exactly to float32. A multi-token-prediction
// head is left out. Errors: those of qwen::MatchCheckpoint and of the source.
absl::StatusOr<TorchWeights> LoadTorchWeights(const ModelConfig& config, const WeightSource& source,
                                              torch::Device device = torch::kCPU);
absl::StatusOr<TorchWeights> LoadTorchWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint,
                                              torch::Device device = torch::kCPU);

// Binds `parameters`, one for every entry of qwen::WeightTable, to the forward pass as they are:
// leaves, or results of differentiable operations on them. Internal, naming it, when one is
// missing.
absl::StatusOr<TorchWeights> BindTorchWeights(const ModelConfig& config,
                                              std::vector<NamedParameter> parameters);

// Writes config.json and the weights as `dtype` (kF32 or kBF16, rounded to nearest even) into
// `folder`, which must exist, in the layout that CpuModel and Hugging Face transformers load.
// `config.dtype` is written as `dtype`.
absl::Status SaveTorchWeights(const TorchWeights& weights, const std::filesystem::path& folder,
                              DType dtype);

// The functions below throw c10::Error (out of memory, ids outside the vocabulary): call them
// within the torch boundary. `compute` is kFloat32 or kBFloat16, see models/ops/torch_ops.h.

// Sum of cross-entropies, with gradient to the parameters: call (sum / n).backward() with the n of
// your choice (the global number of target tokens, when a step has several micro-batches or ranks).
//   targets [T] int64: the id that token t should predict, -100: none. (The input is not shifted
//   here: targets[t] is, as a rule, tokens[t + 1], and -100 for the last token of a document.)
LossSum Loss(const TorchWeights& weights, const TorchBatch& batch, const torch::Tensor& targets,
             torch::ScalarType compute);

// Final-normed hidden states [T, hidden_size], of the compute dtype.
torch::Tensor Hidden(const TorchWeights& weights, const TorchBatch& batch,
                     torch::ScalarType compute);

// Logits of every position [T, vocab_size] float32. For tests and small inputs.
torch::Tensor Logits(const TorchWeights& weights, const TorchBatch& batch,
                     torch::ScalarType compute);

}  // namespace oneai::models
