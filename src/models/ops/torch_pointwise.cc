#include "models/ops/torch_pointwise.h"

namespace oneai::models {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, double epsilon,
                        torch::ScalarType dtype) {
    const Tensor wide = x.to(torch::kFloat32);
    const Tensor scale = wide.square().mean(-1, true).add_(epsilon).rsqrt_();
    ctx->save_for_backward({x, weight, scale});
    return (wide * scale).mul_(weight).to(dtype);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &scale = saved[2];
    const Tensor grad = grads[0].to(torch::kFloat32);
    const Tensor unit = x.to(torch::kFloat32) * scale;  // y / weight
    Tensor grad_unit = grad * unit;
    const Tensor grad_weight = grad_unit.view({-1, x.size(-1)}).sum(0);
    // d/dx of x / rms(x): what is left of weight * grad once its part along x is taken out.
    const Tensor along = grad_unit.mul_(weight).mean(-1, true);
    const Tensor grad_x = (grad * weight).addcmul_(unit, along, -1).mul_(scale).to(x.scalar_type());
    return {grad_x, grad_weight, Tensor(), Tensor()};
  }
};

Tensor Rotate(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const Tensor wide = x.to(torch::kFloat32);
  const int64_t half = x.size(-1) / 2;
  const Tensor a = wide.slice(-1, 0, half), b = wide.slice(-1, half);
  Tensor out = torch::empty(x.sizes(), wide.options());
  out.slice(-1, 0, half).copy_((a * cos).addcmul_(b, sin, -1));
  out.slice(-1, half).copy_((b * cos).addcmul_(a, sin));
  return out.to(x.scalar_type());
}

class RotateFunction : public torch::autograd::Function<RotateFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& cos,
                        const Tensor& sin) {
    ctx->save_for_backward({cos, sin});
    return Rotate(x, cos, sin);
  }

  // The inverse of a rotation is the rotation by the opposite angle.
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    return {Rotate(grads[0], saved[0], -saved[1]), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor RmsNorm(const Tensor& x, const Tensor& weight, double epsilon, torch::ScalarType dtype) {
  return RmsNormFunction::apply(x, weight, epsilon, dtype);
}

Tensor RotateHalves(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  return RotateFunction::apply(x, cos, sin);
}

}  // namespace oneai::models
