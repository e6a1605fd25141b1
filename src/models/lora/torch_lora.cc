#include "models/lora/torch_lora.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {
namespace {

absl::StatusOr<torch::Tensor> Leaf(const TensorView& view, torch::Device device) {
  ASSIGN_OR_RETURN(const std::vector<float> values, ToFloat32(view));
  torch::Tensor tensor = torch::empty(view.shape);
  std::memcpy(tensor.data_ptr<float>(), values.data(), values.size() * sizeof(float));
  return tensor.to(device).requires_grad_(true);
}

}  // namespace

absl::StatusOr<TorchLora> LoadTorchLora(const LoraAdapter& adapter, torch::Device device) {
  TorchLora lora;
  for (const LoraModule& module : adapter.modules()) {
    TorchLora::Module loaded{.weight = module.weight, .scale = module.scale, .a = {}, .b = {}};
    ASSIGN_OR_RETURN(loaded.a, Leaf(module.a, device));
    ASSIGN_OR_RETURN(loaded.b, Leaf(module.b, device));
    lora.parameters.push_back({module.a.name, loaded.a});
    lora.parameters.push_back({module.b.name, loaded.b});
    lora.modules.push_back(std::move(loaded));
  }
  return lora;
}

void Freeze(TorchWeights& weights) {
  for (NamedParameter& p : weights.parameters) p.tensor.requires_grad_(false);
}

absl::StatusOr<TorchWeights> ApplyLora(const TorchWeights& base, const TorchLora& lora) {
  std::vector<NamedParameter> parameters = base.parameters;
  for (const TorchLora::Module& module : lora.modules) {
    const auto p = std::ranges::find(parameters, module.weight, &NamedParameter::name);
    if (p == parameters.end()) {
      return absl::InternalError(absl::StrCat("no parameter '", module.weight, "' to adapt"));
    }
    p->tensor = p->tensor + module.scale * torch::matmul(module.b, module.a);
  }
  return BindTorchWeights(base.config, std::move(parameters));
}

}  // namespace oneai::models
