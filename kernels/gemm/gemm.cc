// Rounds the activations once, cuts the output into (row chunk, panels) cells and gives each thread
// a contiguous run of them, of which idle threads take over a part. Cells never share an output, so
// the cut cannot change a result.
#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <array>

#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {
namespace {

// Rows are cut too when panels alone cannot feed all threads, but not below this many per chunk.
constexpr int64_t kRowsPerChunk = 96;

int64_t NumRowChunks(int64_t m, int64_t num_cells, int num_threads) {
  if (num_cells >= 4 * num_threads) return 1;
  return std::max<int64_t>(1, std::min<int64_t>(num_threads, m / kRowsPerChunk));
}

// The AMX unit eats x faster than a third level gives it, so x is cut into chunks that stay in the
// second level (2 MiB on every processor with the unit) beside a block of weights. Those are read
// once per chunk, mostly from the third.
constexpr int64_t kAmxResidentBytes = 1280 * 1024;

int64_t NumResidentChunks(const Variant<GemmFn>& variant, int64_t m, const PackedMatrix& w) {
  if (variant.isa != CpuIsa::kAmx) return 1;
  const int64_t bytes = m * w.padded_k() * (IsInteger(w.format()) ? 1 : 2);
  return (bytes + kAmxResidentBytes - 1) / kAmxResidentBytes;
}

// First row of chunk `chunk`: chunks consist of whole row groups.
int64_t ChunkBegin(int64_t chunk, int64_t num_chunks, int64_t m) {
  const int64_t groups = (m + kRowGroup - 1) / kRowGroup;
  return std::min(m, chunk * groups / num_chunks * kRowGroup);
}

// Runs prepare(begin, end) over all rows. A few rows are prepared faster than other threads are
// told.
template <typename Prepare>
void ForRows(int64_t m, KernelContext& ctx, Prepare prepare) {
  if (m < 8) return prepare(0, m);
  ctx.threads().ParallelFor(m, [&](int64_t begin, int64_t end, int) { prepare(begin, end); });
}

// Rounds args.x into ctx's scratch.
const BFloat16* RoundAll(const GemmArgs& args, KernelContext& ctx) {
  static const Variant<RoundRowsFn>& variant = PickVariant(RoundRowsVariants(), MaxIsa());
  const PackedMatrix& w = *args.w;
  auto* out = reinterpret_cast<BFloat16*>(ctx.Scratch(args.m * w.padded_k() * sizeof(BFloat16)));
  const RoundRowsArgs round{args.x, args.x_stride, args.m, w.k(), w.padded_k(), out};
  ForRows(args.m, ctx, [&](int64_t begin, int64_t end) { variant.fn(round, begin, end); });
  return out;
}

// Quantises args.x into ctx's scratch.
CodeRows QuantizeAll(const GemmArgs& args, KernelContext& ctx) {
  static const Variant<QuantizeRowsFn>& variant = PickVariant(QuantizeRowsVariants(), MaxIsa());
  const PackedLayout& layout = args.w->layout();
  const int64_t codes = args.m * layout.padded_k;
  const int64_t parameters = args.m * layout.num_groups();
  std::byte* scratch = ctx.Scratch(codes + 3 * parameters * sizeof(float));
  CodeRows out;
  out.codes = reinterpret_cast<int8_t*>(scratch);
  out.scales = reinterpret_cast<float*>(scratch + codes);
  out.scaled_sums = out.scales + parameters;
  out.sums = reinterpret_cast<int32_t*>(out.scaled_sums + parameters);
  const QuantizeRowsArgs quantize{.x = args.x,
                                  .x_stride = args.x_stride,
                                  .column_order = args.w->column_order(),
                                  .m = args.m,
                                  .k = layout.k,
                                  .padded_k = layout.padded_k,
                                  .group_size = layout.group_size,
                                  .out = out};
  ForRows(args.m, ctx, [&](int64_t begin, int64_t end) { variant.fn(quantize, begin, end); });
  return out;
}

// Panels of one piece of work: a whole block, which is one stream of memory, unless the blocks
// would not divide among the threads.
int64_t PanelsPerCell(int64_t panels, int num_threads) {
  const int64_t blocks = (panels + PackedLayout::kBlockPanels - 1) / PackedLayout::kBlockPanels;
  const bool divides = blocks >= 4 * num_threads || blocks % num_threads == 0;
  return divides ? PackedLayout::kBlockPanels : 1;
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
  if (w.format() == WeightFormat::kBFloat16) whole.x = RoundAll(args, ctx);
  if (IsInteger(w.format())) whole.codes = QuantizeAll(args, ctx);

  const int num_threads = ctx.threads().num_threads();
  const int64_t panels = w.num_panels();
  const int64_t per_cell = PanelsPerCell(panels, num_threads);
  const int64_t cells = (panels + per_cell - 1) / per_cell;
  const int64_t chunks =
      std::max(NumRowChunks(args.m, cells, num_threads), NumResidentChunks(variant, args.m, w));
  ctx.threads().ParallelForStealing(chunks * cells, [&](int64_t begin, int64_t end, int) {
    GemmTask task = whole;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t chunk = i / cells, cell = i - chunk * cells;
      task.row_begin = ChunkBegin(chunk, chunks, args.m);
      task.row_end = ChunkBegin(chunk + 1, chunks, args.m);
      task.panel_begin = cell * per_cell;
      task.panel_end = std::min(panels, task.panel_begin + per_cell);
      variant.fn(task);
    }
  });
}

void Gemm(const GemmArgs& args, KernelContext& ctx) {
  static const std::array<const Variant<GemmFn>*, 4> picked = [] {
    std::array<const Variant<GemmFn>*, 4> variants;
    for (uint32_t f = 0; f < 4; ++f) {
      variants[f] = &PickVariant(GemmVariants(static_cast<WeightFormat>(f)), MaxIsa());
    }
    return variants;
  }();
  GemmWith(*picked[static_cast<size_t>(args.w->format())], args, ctx);
}

}  // namespace oneai::kernels
