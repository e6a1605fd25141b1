#include <cmath>

#include "kernels/delta_net/delta_net_variants.h"

namespace oneai::kernels {
namespace {

// Below this many elements a loop costs less than telling other threads about it.
constexpr int64_t kElementsPerLoop = 16 * 1024;
constexpr int64_t kGatesPerLoop = 256;  // each costs two exponentials and a logarithm

const DeltaNetFns& Fns() {
  static const Variant<DeltaNetFns>& variant = PickVariant(DeltaNetVariants(), MaxIsa());
  return variant.fn;
}

// log(1 + e^x) without overflow; beyond 20 it is x to float32's precision, as in PyTorch.
float Softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

void GateRows(const DeltaGatesArgs& args, int64_t token_begin, int64_t token_end) {
  for (int64_t h = 0; h < args.num_heads; ++h) {
    const float rate = -std::exp(args.a_log[h]);
    for (int64_t t = token_begin; t < token_end; ++t) {
      const int64_t in = t * args.in_stride + h, out = t * args.num_heads + h;
      args.g[out] = rate * Softplus(args.a[in] + args.dt_bias[h]);
      args.beta[out] = 1.0f / (1.0f + std::exp(-args.b[in]));
    }
  }
}

}  // namespace

void CausalConvSilu(const CausalConvArgs& args, KernelContext& ctx) {
  if (args.num_runs == 0) return;
  const int64_t items = (args.channels + kConvChannelsPerItem - 1) / kConvChannelsPerItem;
  ctx.threads().ParallelFor(items, [&](int64_t begin, int64_t end, int) {
    Fns().causal_conv(args, begin * kConvChannelsPerItem,
                      std::min(args.channels, end * kConvChannelsPerItem));
  });
}

void DeltaGates(const DeltaGatesArgs& args, KernelContext& ctx) {
  if (args.num_tokens * args.num_heads < kGatesPerLoop) return GateRows(args, 0, args.num_tokens);
  ctx.threads().ParallelFor(args.num_tokens,
                            [&](int64_t begin, int64_t end, int) { GateRows(args, begin, end); });
}

void DeltaRule(const DeltaRuleArgs& args, KernelContext& ctx) {
  ctx.threads().ParallelFor(
      args.num_value_heads * args.num_runs,
      [&](int64_t begin, int64_t end, int) { Fns().delta_rule(args, begin, end); });
}

void GatedRmsNorm(const GatedRmsNormArgs& args, KernelContext& ctx) {
  if (args.num_tokens * args.num_heads * args.dim < kElementsPerLoop) {
    return Fns().gated_norm(args, 0, args.num_tokens);
  }
  ctx.threads().ParallelFor(args.num_tokens, [&](int64_t begin, int64_t end, int) {
    Fns().gated_norm(args, begin, end);
  });
}

}  // namespace oneai::kernels
