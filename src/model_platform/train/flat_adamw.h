// File: model_platform/train/flat_adamw.h
//
// Parameters, gradients and AdamW's moments as four flat float32 vectors of one layout. The model's
// tensors are views into them: reducing, clipping, updating and saving then are a few passes over
// memory instead of one per tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/runtime/torch_model.h"
#include "torch/torch.h"

namespace oneai::platform {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

// Methods throw c10::Error; call them within the torch boundary. Thread-compatible.
class FlatAdamW {
 public:
  // Where a parameter lies in the vectors.
  struct Slot {
    std::string name;
    std::vector<int64_t> shape;
    int64_t begin = 0;
    int64_t count = 0;
  };

  // Moves the parameters of `weights` into flat storage; the tensors of `weights` become views of
  // it and their gradients accumulate in grads(). Matrices and embeddings come first and decay;
  // norms and biases (one dim) follow and do not.
  FlatAdamW(models::TorchWeights& weights, const AdamWOptions& options);

  void ZeroGrads() { grads_.zero_(); }

  // One step with decoupled weight decay, t = steps() + 1, g the gradient:
  //   p *= 1 - lr wd (decaying ones);  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
  //   p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)
  // Source: arXiv:1711.05101, algorithm 2, as torch.optim.AdamW computes it.
  void Step(double learning_rate);

  // [n] float32 each; in-place changes are changes of the model and the optimizer.
  torch::Tensor& values() { return values_; }
  torch::Tensor& grads() { return grads_; }
  torch::Tensor& exp_avg() { return exp_avg_; }
  torch::Tensor& exp_avg_sq() { return exp_avg_sq_; }
  const std::vector<Slot>& slots() const { return slots_; }

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  const AdamWOptions options_;
  std::vector<Slot> slots_;
  int64_t num_decaying_ = 0;  // elements
  torch::Tensor values_, grads_, exp_avg_, exp_avg_sq_;
  int64_t steps_ = 0;
};

// Scales `grads` so that their L2 norm is at most `norm_max` and returns the norm before:
// coefficient min(1, norm_max / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_. Gradients with a
// norm that is not finite are left alone.
double ClipGradNorm(torch::Tensor& grads, double norm_max);

}  // namespace oneai::platform
