// Defines "correct": plain loops, float64 sums.
#include <cmath>

#include "kernels/rmsnorm/rmsnorm_variants.h"

namespace oneai::kernels {

void RmsNormRef(const RmsNormArgs& args, float* residual, const float* delta, int64_t delta_stride,
                int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    if (residual != nullptr) {
      float* x = residual + row * args.x_stride;
      for (int64_t i = 0; i < args.dim; ++i) x[i] += delta[row * delta_stride + i];
    }
    const float* x = args.x + row * args.x_stride;
    double sum = 0;
    for (int64_t i = 0; i < args.dim; ++i) sum += double{x[i]} * x[i];
    const double scale = 1.0 / std::sqrt(sum / static_cast<double>(args.dim) + args.epsilon);
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.dim; ++i) y[i] = static_cast<float>(x[i] * scale) * args.weight[i];
  }
}

}  // namespace oneai::kernels
