#include "kernels/rope/rope.h"

#include <cmath>

namespace oneai::kernels {
namespace {

// Below this many elements a loop costs less than telling other threads about it.
constexpr int64_t kElementsPerLoop = 16 * 1024;

}  // namespace

void RopeCosSin(const int32_t* positions, int64_t num_tokens, const float* inv_freq,
                int64_t rotary_dim, float attention_factor, float* cos, float* sin) {
  const int64_t half = rotary_dim / 2;
  for (int64_t token = 0; token < num_tokens; ++token) {
    for (int64_t i = 0; i < half; ++i) {
      // The float32 product is part of the definition: at position 30,000 it is rounded by 1e-3
      // rad, and the models were trained with that rounding.
      const float angle = static_cast<float>(positions[token]) * inv_freq[i];
      cos[token * half + i] = std::cos(angle) * attention_factor;
      sin[token * half + i] = std::sin(angle) * attention_factor;
    }
  }
}

void Rope(const RopeArgs& args, KernelContext& ctx) {
  static const Variant<RopeFn>& variant = PickVariant(RopeVariants(), MaxIsa());
  if (args.num_tokens * args.num_heads * args.rotary_dim < kElementsPerLoop) {
    variant.fn(args, 0, args.num_tokens);
    return;
  }
  ctx.threads().ParallelFor(args.num_tokens,
                            [&](int64_t begin, int64_t end, int) { variant.fn(args, begin, end); });
}

}  // namespace oneai::kernels
