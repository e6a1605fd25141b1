#include "kernels/moe/expert_sum.h"

#include <algorithm>
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

// Threads share the columns, so that each adds a token's rows in order.
void ScatterAdd(const ScatterAddArgs& args, KernelContext& ctx) {
  constexpr int64_t kColumns = 64;
  const auto add = [&](int64_t begin, int64_t end, int) {
    const int64_t first = begin * kColumns, count = std::min(args.dim, end * kColumns) - first;
    for (int64_t r = 0; r < args.num_rows; ++r) {
      const float* __restrict x = args.x + r * args.x_stride + first;
      float* __restrict y = args.y + args.token[r] * args.y_stride + first;
      const float weight = args.weight[r];
      for (int64_t i = 0; i < count; ++i) y[i] += weight * x[i];
    }
  };
  const int64_t blocks = (args.dim + kColumns - 1) / kColumns;
  if (args.num_rows * args.dim < kElementsPerLoop) {
    add(0, blocks, 0);
  } else {
    ctx.threads().ParallelFor(blocks, add);
  }
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
