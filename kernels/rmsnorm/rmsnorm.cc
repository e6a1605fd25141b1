#include "kernels/rmsnorm/rmsnorm.h"

namespace oneai::kernels {
namespace {

// Below this many elements a loop costs less than telling other threads about it.
constexpr int64_t kElementsPerLoop = 16 * 1024;

void Run(float* residual, const float* delta, int64_t delta_stride, const RmsNormArgs& args,
         KernelContext& ctx) {
  static const Variant<RmsNormFn>& variant = PickVariant(RmsNormVariants(), MaxIsa());
  if (args.num_rows * args.dim < kElementsPerLoop) {
    variant.fn(args, residual, delta, delta_stride, 0, args.num_rows);
    return;
  }
  ctx.threads().ParallelFor(args.num_rows, [&](int64_t begin, int64_t end, int) {
    variant.fn(args, residual, delta, delta_stride, begin, end);
  });
}

}  // namespace

void RmsNorm(const RmsNormArgs& args, KernelContext& ctx) { Run(nullptr, nullptr, 0, args, ctx); }

void AddRmsNorm(float* x, const float* delta, int64_t delta_stride, const RmsNormArgs& args,
                KernelContext& ctx) {
  Run(x, delta, delta_stride, args, ctx);
}

}  // namespace oneai::kernels
