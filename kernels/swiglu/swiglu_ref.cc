// Defines "correct": float64 throughout.
#include <cmath>

#include "kernels/swiglu/swiglu_variants.h"

namespace oneai::kernels {

void SwigluRef(const SwigluArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t i = 0; i < args.dim; ++i) {
      const double gate = args.gate[row * args.in_stride + i];
      const double up = args.up[row * args.in_stride + i];
      args.y[row * args.out_stride + i] = static_cast<float>(gate / (1.0 + std::exp(-gate)) * up);
    }
  }
}

}  // namespace oneai::kernels
