// Defines "correct": float64 throughout.
#include <cmath>

#include "kernels/moe/sigmoid_gate.h"

namespace oneai::kernels {

void SigmoidGateRef(const SigmoidGateArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t i = 0; i < args.dim; ++i) {
      const double gate = args.gate[row * args.gate_stride + i];
      float& y = args.y[row * args.y_stride + i];
      y = static_cast<float>(y / (1.0 + std::exp(-gate)));
    }
  }
}

}  // namespace oneai::kernels
