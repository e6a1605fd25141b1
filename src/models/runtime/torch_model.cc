#include "models/runtime/torch_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <utility>

#include "models/qwen/weights.h"
#include "models/safetensors/atomic_file.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/weights/checkpoint_source.h"

namespace oneai::models {
namespace {

using torch::Tensor;

// SplitMix64's output function: a bijection whose outputs pass statistical tests as a counter-based
// generator. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA
// 2014.
uint64_t Mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t KeyOf(uint64_t seed, const std::string& name) {
  uint64_t key = Mix(seed);
  for (const char c : name) key = Mix(key ^ static_cast<unsigned char>(c));
  return key;
}

// Fills with the logarithm of uniform numbers in (0, 16).
void FillLogUniform(Tensor& tensor, uint64_t key) {
  float* out = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    const uint64_t bits = Mix(key + static_cast<uint64_t>(i)) >> 11;
    out[i] = static_cast<float>(std::log((static_cast<double>(bits) + 0.5) * 0x1p-49));
  }
}

// Fills with normal(0, std) by Box-Muller, two elements per pair of uniforms.
void FillNormal(Tensor& tensor, uint64_t key, double std) {
  float* out = tensor.data_ptr<float>();
  const int64_t count = tensor.numel();
  at::parallel_for(0, (count + 1) / 2, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t pair = begin; pair < end; ++pair) {
      const auto counter = static_cast<uint64_t>(pair);
      const double u = static_cast<double>((Mix(key + 2 * counter) >> 11) + 1) * 0x1p-53;  // (0, 1]
      const double v = static_cast<double>(Mix(key + 2 * counter + 1) >> 11) * 0x1p-53;    // [0, 1)
      const double radius = std * std::sqrt(-2.0 * std::log(u)), angle = 2.0 * std::numbers::pi * v;
      out[2 * pair] = static_cast<float>(radius * std::cos(angle));
      if (2 * pair + 1 < count) out[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
    }
  });
}

// The Source of qwen::BindWeights that looks parameters up by name.
class ParameterSource {
 public:
  explicit ParameterSource(const std::vector<NamedParameter>& parameters) {
    for (const NamedParameter& p : parameters) by_name_[p.name] = p.tensor;
  }
  absl::StatusOr<Tensor> Vector(const std::string& name) const {
    const auto found = by_name_.find(name);
    if (found == by_name_.end())
      return absl::InternalError(absl::StrCat("no parameter '", name, "'"));
    return found->second;
  }
  absl::StatusOr<Tensor> Embedding(const std::string& name) const { return Vector(name); }
  absl::StatusOr<TorchOps::Linear> Linear(const std::string& weight,
                                          const std::string& bias) const {
    TorchOps::Linear linear;
    ASSIGN_OR_RETURN(linear.weight, Vector(weight));
    if (!bias.empty()) {
      ASSIGN_OR_RETURN(linear.bias, Vector(bias));
    }
    return linear;
  }
  absl::StatusOr<Tensor> Norm(const std::string& name) const { return Vector(name); }
  absl::StatusOr<TorchOps::StackedLinear> Stacked(const qwen::RowParts& parts,
                                                  const qwen::RowParts& bias) const {
    TorchOps::StackedLinear stacked;
    std::vector<std::string> names;
    for (size_t i = 0; i < parts.size(); ++i) {
      const qwen::RowPart& part = parts[i];
      const size_t at = std::ranges::find(names, part.name) - names.begin();
      if (at == names.size()) {
        names.push_back(part.name);
        ASSIGN_OR_RETURN(TorchOps::Linear linear,
                         Linear(part.name, bias.empty() ? "" : bias[i].name));
        stacked.tensors.push_back(std::move(linear));
      }
      stacked.parts.push_back({at, part.begin, part.rows});
    }
    return stacked;
  }
  absl::StatusOr<TorchOps::StackedLinear> Router(const qwen::RowParts& parts) const {
    return Stacked(parts, {});
  }
  absl::StatusOr<TorchOps::Experts> Experts(const std::vector<qwen::RowParts>& gate_up,
                                            const qwen::RowParts& down) const {
    TorchOps::Experts experts;
    if (gate_up[0].size() == 1) {
      ASSIGN_OR_RETURN(experts.stacked_gate_up, Vector(gate_up[0][0].name));
      ASSIGN_OR_RETURN(experts.stacked_down, Vector(down[0].name));
      return experts;
    }
    for (size_t e = 0; e < gate_up.size(); ++e) {
      ASSIGN_OR_RETURN(Tensor gate, Vector(gate_up[e][0].name));
      ASSIGN_OR_RETURN(Tensor up, Vector(gate_up[e][1].name));
      ASSIGN_OR_RETURN(Tensor out, Vector(down[e].name));
      experts.gate.push_back(gate), experts.up.push_back(up), experts.down.push_back(out);
    }
    return experts;
  }

 private:
  std::map<std::string, Tensor> by_name_;
};

absl::StatusOr<TorchWeights> Bind(const ModelConfig& config, std::vector<NamedParameter> parameters,
                                  torch::Device device) {
  for (NamedParameter& p : parameters) p.tensor = p.tensor.to(device).requires_grad_(true);
  return BindTorchWeights(config, std::move(parameters));
}

}  // namespace

int64_t TorchWeights::num_parameters() const {
  int64_t count = 0;
  for (const NamedParameter& p : parameters) count += p.tensor.numel();
  return count;
}

absl::StatusOr<TorchWeights> BindTorchWeights(const ModelConfig& config,
                                              std::vector<NamedParameter> parameters) {
  TorchWeights weights;
  weights.config = config;
  weights.parameters = std::move(parameters);
  const ParameterSource source(weights.parameters);
  ASSIGN_OR_RETURN(weights.model, qwen::BindWeights<TorchOps>(config, source));
  return weights;
}

absl::StatusOr<TorchWeights> InitWeights(const ModelConfig& config, uint64_t seed,
                                         torch::Device device) {
  RETURN_IF_ERROR(ValidateModelConfig(config));
  std::vector<NamedParameter> parameters;
  for (const qwen::WeightSpec& spec : qwen::WeightTable(config)) {
    Tensor tensor =
        spec.init == qwen::Init::kOnes ? torch::ones(spec.shape) : torch::zeros(spec.shape);
    if (spec.init == qwen::Init::kNormal) {
      FillNormal(tensor, KeyOf(seed, spec.name), config.initializer_range);
    }
    if (spec.init == qwen::Init::kLogUniform) FillLogUniform(tensor, KeyOf(seed, spec.name));
    parameters.push_back({spec.name, tensor});
  }
  return Bind(config, std::move(parameters), device);
}

absl::StatusOr<TorchWeights> LoadTorchWeights(const ModelConfig& config, const WeightSource& source,
                                              torch::Device device) {
  ASSIGN_OR_RETURN(const qwen::StoredWeights stored, qwen::MatchCheckpoint(config, source));
  std::vector<NamedParameter> parameters;
  for (const qwen::WeightSpec& spec : qwen::WeightTable(config)) {
    ASSIGN_OR_RETURN(const DenseWeight dense, source.Dense(stored.at(spec.name).name));
    Tensor tensor = torch::empty(spec.shape);
    const auto bytes = static_cast<size_t>(tensor.numel() * DTypeBytes(dense.dtype));
    ASSIGN_OR_RETURN(const std::vector<float> values,
                     ToFloat32({spec.name, dense.dtype, spec.shape, {dense.data, bytes}}));
    std::memcpy(tensor.data_ptr<float>(), values.data(), values.size() * sizeof(float));
    parameters.push_back({spec.name, tensor});
  }
  return Bind(config, std::move(parameters), device);
}

absl::StatusOr<TorchWeights> LoadTorchWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint, torch::Device device) {
  return LoadTorchWeights(config, *SourceOf(checkpoint), device);
}

absl::Status SaveTorchWeights(const TorchWeights& weights, const std::filesystem::path& folder,
                              DType dtype) {
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights cannot be saved as ", DTypeName(dtype), ": choose F32 or BF16"));
  }
  std::vector<TensorSpec> specs;
  for (const NamedParameter& p : weights.parameters)
    specs.push_back({p.name, dtype, p.tensor.sizes().vec()});
  ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                   CheckpointWriter::Create(folder, specs));
  for (const NamedParameter& p : weights.parameters) {
    const Tensor stored = p.tensor.detach()
                              .to(torch::kCPU)
                              .to(dtype == DType::kF32 ? torch::kFloat32 : torch::kBFloat16)
                              .contiguous();
    RETURN_IF_ERROR(writer->Append(
        p.name,
        absl::MakeConstSpan(static_cast<const std::byte*>(stored.data_ptr()), stored.nbytes())));
  }
  RETURN_IF_ERROR(writer->Commit());
  ModelConfig config = weights.config;
  config.dtype = dtype;
  config.num_mtp_layers = 0;  // training neither reads nor writes the head
  return WriteFileAtomically(folder / "config.json", ToHfJson(config));
}

Tensor Hidden(const TorchWeights& weights, const TorchBatch& batch, torch::ScalarType compute) {
  TorchOps ops(weights.config, batch, compute);
  return qwen::Forward(ops, weights.config, weights.model);
}

Tensor Logits(const TorchWeights& weights, const TorchBatch& batch, torch::ScalarType compute) {
  const Tensor hidden = Hidden(weights, batch, compute);
  return torch::linear(hidden, weights.model.head.weight.to(compute)).to(torch::kFloat32);
}

LossSum Loss(const TorchWeights& weights, const TorchBatch& batch, const Tensor& targets,
             torch::ScalarType compute) {
  TorchOps ops(weights.config, batch, compute);
  const Tensor hidden = qwen::Forward(ops, weights.config, weights.model);
  LossSum loss = LinearCrossEntropy(hidden, weights.model.head.weight, targets);
  if (!ops.router_logits().empty()) {
    loss.load_balancing =
        LoadBalancingLoss(ops.router_logits(), weights.config.moe.experts_per_token);
  }
  return loss;
}

}  // namespace oneai::models
