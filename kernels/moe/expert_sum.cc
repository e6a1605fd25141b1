#include "kernels/moe/expert_sum.h"

#include <cmath>
#include <cstring>

namespace oneai::kernels {
namespace {

// Below this many elements a loop costs less than telling other threads about it.
constexpr int64_t kElementsPerLoop = 32 * 1024;

template <typename Body>
void ForRows(int64_t num_rows, int64_t dim, KernelContext& ctx, const Body& body) {
  if (num_rows * dim < kElementsPerLoop) {
    body(0, num_rows, 0);
  } else {
    ctx.threads().ParallelFor(num_rows, body);
  }
}

}  // namespace

void GatherRows(const GatherRowsArgs& args, KernelContext& ctx) {
  ForRows(args.num_rows, args.dim, ctx, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r)
      std::memcpy(args.y + r * args.y_stride, args.x + args.token[r] * args.x_stride,
                  static_cast<size_t>(args.dim) * sizeof(float));
  });
}

void ScatterAdd(const ScatterAddArgs& args, KernelContext& ctx) {
  ForRows(args.num_rows, args.dim, ctx, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* __restrict x = args.x + r * args.x_stride;
      float* __restrict y = args.y + args.token[r] * args.y_stride;
      const float weight = args.weight[r];
      for (int64_t i = 0; i < args.dim; ++i) y[i] += weight * x[i];
    }
  });
}

void ScaleBySigmoid(float* x, int64_t x_stride, const float* gate, int64_t gate_stride,
                    int64_t num_rows, int64_t dim) {
  for (int64_t r = 0; r < num_rows; ++r) {
    const float share = 1.0f / (1.0f + std::exp(-gate[r * gate_stride]));
    float* row = x + r * x_stride;
    for (int64_t i = 0; i < dim; ++i) row[i] *= share;
  }
}

}  // namespace oneai::kernels
