// Rounds the activations once, cuts the output into (row chunk, panel) cells and gives each thread
// a contiguous run of them. Cells never share an output, so the cut cannot change a result.
#include "kernels/gemm/gemm.h"

#include <algorithm>

#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {
namespace {

// Rows are cut too when panels alone cannot feed all threads, but not below this many per chunk.
constexpr int64_t kRowsPerChunk = 96;

int64_t NumRowChunks(int64_t m, int64_t num_panels, int num_threads) {
  if (num_panels >= 4 * num_threads) return 1;
  return std::max<int64_t>(1, std::min<int64_t>(num_threads, m / kRowsPerChunk));
}

// First row of chunk `chunk`: chunks consist of whole row groups.
int64_t ChunkBegin(int64_t chunk, int64_t num_chunks, int64_t m) {
  const int64_t groups = (m + kRowGroup - 1) / kRowGroup;
  return std::min(m, chunk * groups / num_chunks * kRowGroup);
}

// Rounds args.x into ctx's scratch.
const BFloat16* RoundAll(const GemmArgs& args, KernelContext& ctx) {
  static const Variant<RoundRowsFn>& variant = PickVariant(RoundRowsVariants(), MaxIsa());
  const PackedMatrix& w = *args.w;
  auto* out = reinterpret_cast<BFloat16*>(ctx.Scratch(args.m * w.padded_k() * sizeof(BFloat16)));
  const RoundRowsArgs round{args.x, args.x_stride, args.m, w.k(), w.padded_k(), out};
  // A few rows are rounded faster than other threads are told.
  if (args.m < 8) {
    variant.fn(round, 0, args.m);
  } else {
    ctx.threads().ParallelFor(
        args.m, [&](int64_t begin, int64_t end, int) { variant.fn(round, begin, end); });
  }
  return out;
}

}  // namespace

void GemmWith(const Variant<GemmFn>& variant, const GemmArgs& args, KernelContext& ctx) {
  const PackedMatrix& w = *args.w;
  if (args.m == 0 || w.n() == 0) return;
  GemmTask whole{.x = args.x,
                 .x_stride = args.x_stride,
                 .m = args.m,
                 .w = args.w,
                 .bias = args.bias,
                 .y = args.y,
                 .y_stride = args.y_stride};
  if (w.dtype() == Dtype::kBFloat16) whole.x = RoundAll(args, ctx);

  const int64_t panels = w.num_panels();
  const int64_t chunks = NumRowChunks(args.m, panels, ctx.threads().num_threads());
  ctx.threads().ParallelFor(chunks * panels, [&](int64_t begin, int64_t end, int) {
    GemmTask task = whole;
    while (begin < end) {
      const int64_t chunk = begin / panels;
      task.row_begin = ChunkBegin(chunk, chunks, args.m);
      task.row_end = ChunkBegin(chunk + 1, chunks, args.m);
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
