// File: models/ops/torch_pointwise.h
//
// RMSNorm and rotary embedding for LibTorch with gradients written out: composed of library ops,
// each would record a dozen nodes and keep as many copies of its input, for work that is bound by
// memory.
#pragma once

#include "torch/torch.h"

namespace oneai::models {

// x / sqrt(mean(x^2) + epsilon) * weight over the last dim, computed in float32, returned as
// `dtype`.
//   x [..., n] any float dtype   weight [n] float32. Differentiable once. Source: arXiv:1910.07467.
torch::Tensor RmsNorm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon,
                      torch::ScalarType dtype);

// Rotates x [T, heads, d] by cos, sin [T, 1, d / 2] float32: (a, b) -> (a cos - b sin, b cos + a
// sin) for the halves a, b of each head. Computed in float32, returned in x's dtype. Differentiable
// once. Source: arXiv:2104.09864.
torch::Tensor RotateHalves(const torch::Tensor& x, const torch::Tensor& cos,
                           const torch::Tensor& sin);

}  // namespace oneai::models
