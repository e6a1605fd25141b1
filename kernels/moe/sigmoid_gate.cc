#include "kernels/moe/sigmoid_gate.h"

namespace oneai::kernels {
namespace {

// Below this many elements a loop costs less than telling other threads about it.
constexpr int64_t kElementsPerLoop = 8 * 1024;

}  // namespace

void SigmoidGate(const SigmoidGateArgs& args, KernelContext& ctx) {
  static const Variant<SigmoidGateFn>& variant = PickVariant(SigmoidGateVariants(), MaxIsa());
  if (args.num_rows * args.dim < kElementsPerLoop) {
    variant.fn(args, 0, args.num_rows);
    return;
  }
  ctx.threads().ParallelFor(args.num_rows,
                            [&](int64_t begin, int64_t end, int) { variant.fn(args, begin, end); });
}

}  // namespace oneai::kernels
