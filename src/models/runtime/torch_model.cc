#include "models/runtime/torch_model.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <utility>

#include "models/qwen/weights.h"
#include "models/safetensors/atomic_file.h"
#include "models/safetensors/checkpoint_writer.h"

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
  absl::StatusOr<TorchOps::GateUp> GateUp(const std::string& gate, const std::string& up) const {
    TorchOps::GateUp pair;
    ASSIGN_OR_RETURN(pair.gate, Vector(gate));
    ASSIGN_OR_RETURN(pair.up, Vector(up));
    return pair;
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
    parameters.push_back({spec.name, tensor});
  }
  return Bind(config, std::move(parameters), device);
}

absl::StatusOr<TorchWeights> LoadTorchWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint, torch::Device device) {
  ASSIGN_OR_RETURN(const qwen::StoredWeights stored, qwen::MatchCheckpoint(config, checkpoint));
  std::vector<NamedParameter> parameters;
  for (const qwen::WeightSpec& spec : qwen::WeightTable(config)) {
    ASSIGN_OR_RETURN(const std::vector<float> values, ToFloat32(stored.at(spec.name)));
    Tensor tensor = torch::empty(spec.shape);
    std::memcpy(tensor.data_ptr<float>(), values.data(), values.size() * sizeof(float));
    parameters.push_back({spec.name, tensor});
  }
  return Bind(config, std::move(parameters), device);
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
  return LinearCrossEntropy(Hidden(weights, batch, compute), weights.model.head.weight, targets);
}

}  // namespace oneai::models
