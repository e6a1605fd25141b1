#include "model_platform/train/flat_adamw.h"

#include <cmath>

namespace oneai::platform {

FlatAdamW::FlatAdamW(models::TorchWeights& weights, const AdamWOptions& options)
    : options_(options) {
  int64_t count = 0;
  std::vector<torch::Tensor> order;
  for (const bool decays : {true, false}) {
    for (const models::NamedParameter& p : weights.parameters) {
      if ((p.tensor.dim() > 1) != decays) continue;
      slots_.push_back({p.name, p.tensor.sizes().vec(), count, p.tensor.numel()});
      order.push_back(p.tensor);
      count += p.tensor.numel();
    }
    if (decays) num_decaying_ = count;
  }
  const torch::NoGradGuard no_grad;
  const auto device = weights.parameters.front().tensor.device();
  values_ = torch::empty({count}, torch::TensorOptions().dtype(torch::kFloat32).device(device));
  grads_ = torch::zeros_like(values_);
  exp_avg_ = torch::zeros_like(values_);
  exp_avg_sq_ = torch::zeros_like(values_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    const torch::Tensor view = values_.narrow(0, slots_[i].begin, slots_[i].count);
    view.copy_(order[i].reshape({-1}));
    order[i].set_data(view.view(slots_[i].shape));
    // Autograd adds to a gradient that is already there, in place: so it lands in the flat vector.
    order[i].mutable_grad() =
        grads_.narrow(0, slots_[i].begin, slots_[i].count).view(slots_[i].shape);
  }
}

void FlatAdamW::Step(double learning_rate) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  const double t = static_cast<double>(steps_);
  const double correction1 = 1.0 - std::pow(options_.beta1, t);
  const double correction2 = 1.0 - std::pow(options_.beta2, t);
  values_.narrow(0, 0, num_decaying_).mul_(1.0 - learning_rate * options_.weight_decay);
  exp_avg_.mul_(options_.beta1).add_(grads_, 1.0 - options_.beta1);
  exp_avg_sq_.mul_(options_.beta2).addcmul_(grads_, grads_, 1.0 - options_.beta2);
  const torch::Tensor denominator =
      exp_avg_sq_.sqrt().div_(std::sqrt(correction2)).add_(options_.epsilon);
  values_.addcdiv_(exp_avg_, denominator, -learning_rate / correction1);
}

double ClipGradNorm(torch::Tensor& grads, double norm_max) {
  const torch::NoGradGuard no_grad;
  const double norm = grads.norm(2, torch::kFloat64).item<double>();
  const double scale = norm_max / (norm + 1e-6);
  if (std::isfinite(norm) && scale < 1.0) grads.mul_(scale);
  return norm;
}

}  // namespace oneai::platform
