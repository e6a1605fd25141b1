// Defines "correct": the two lines of the contract.
#include "kernels/rope/rope_variants.h"

namespace oneai::kernels {

void RopeRef(const RopeArgs& args, int64_t token_begin, int64_t token_end) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t token = token_begin; token < token_end; ++token) {
    const float* cos = args.cos + token * half;
    const float* sin = args.sin + token * half;
    for (int64_t head = 0; head < args.num_heads; ++head) {
      float* x = args.x + token * args.token_stride + head * args.head_stride;
      for (int64_t i = 0; i < half; ++i) {
        const double a = x[i];
        const double b = x[i + half];
        x[i] = static_cast<float>(a * cos[i] - b * sin[i]);
        x[i + half] = static_cast<float>(b * cos[i] + a * sin[i]);
      }
    }
  }
}

}  // namespace oneai::kernels
