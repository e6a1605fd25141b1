// Rounds the activations once, cuts the output into (row chunk, panel) cells and gives each thread
// a contiguous run of them. Cells never share an output, so the cut cannot change a result.
#include "kernels/gemm/gemm.h"

#include <algorithm>

#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {
namespace {

// Rows of a chunk when panels alone cannot feed all threads; a multiple of every variant's row
// tile.
constexpr int64_t kRowsPerChunk = 96;

int64_t NumRowChunks(int64_t m, int64_t num_panels, int num_threads) {
  if (num_panels >= 4 * num_threads) return 1;
  return std::max<int64_t>(1, std::min<int64_t>(num_threads, m / kRowsPerChunk));
}

}  // namespace

void GemmWith(const Variant<GemmFn>& variant, const GemmArgs& args, KernelContext& ctx) {
  const PackedMatrix& w = *args.w;
  if (args.m == 0 || w.n() == 0) return;
  GemmTask whole{.x = args.x,
                 .x_stride = args.x_stride,
                 .w = args.w,
                 .bias = args.bias,
                 .y = args.y,
                 .y_stride = args.y_stride};
  if (w.dtype() == Dtype::kBFloat16) {
    auto* rounded =
        reinterpret_cast<BFloat16*>(ctx.Scratch(args.m * w.padded_k() * sizeof(BFloat16)));
    const auto round = [&](int64_t begin, int64_t end, int) {
      RoundRows(args.x, args.x_stride, w.k(), w.padded_k(), begin, end, rounded);
    };
    // A few rows are rounded faster than other threads are told.
    if (args.m < 8) {
      round(0, args.m, 0);
    } else {
      ctx.threads().ParallelFor(args.m, round);
    }
    whole.x = rounded;
    whole.x_stride = w.padded_k();
  }

  const int64_t panels = w.num_panels();
  const int64_t chunks = NumRowChunks(args.m, panels, ctx.threads().num_threads());
  ctx.threads().ParallelFor(chunks * panels, [&](int64_t begin, int64_t end, int) {
    GemmTask task = whole;
    while (begin < end) {
      const int64_t chunk = begin / panels;
      task.row_begin = chunk * args.m / chunks;
      task.row_end = (chunk + 1) * args.m / chunks;
      task.panel_begin = begin - chunk * panels;
      task.panel_end = std::min(panels, task.panel_begin + (end - begin));
      variant.fn(task);
      begin += task.panel_end - task.panel_begin;
    }
  });
}

void Gemm(const GemmArgs& args, KernelContext& ctx) {
  static const Variant<GemmFn>& bf16 = PickVariant(GemmVariants(Dtype::kBFloat16), MaxIsa());
  static const Variant<GemmFn>& f32 = PickVariant(GemmVariants(Dtype::kFloat32), MaxIsa());
  GemmWith(args.w->dtype() == Dtype::kBFloat16 ? bf16 : f32, args, ctx);
}

}  // namespace oneai::kernels
