// Rounds the activations once, cuts the outputs into (row chunk, panels) cells and gives each
// thread a contiguous run of them, of which idle threads take over a part. Cells never share an
// output, so the cut cannot change a result, nor can it matter how many products a call makes.
#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <array>
#include <memory>

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

// Panels of one piece of work: a whole block, which is one stream of memory, unless the blocks
// would not divide among the threads.
int64_t PanelsPerCell(int64_t blocks, int num_threads) {
  const bool divides = blocks >= 4 * num_threads || blocks % num_threads == 0;
  return divides ? PackedLayout::kBlockPanels : 1;
}

// One product of a call: where its input is prepared and how its output is cut.
struct Product {
  const GemmArgs* args;
  const Variant<GemmFn>* variant;
  GemmTask whole;
  std::byte* input;    // rounded or quantised; null: float32, or what the product before it reads
  int64_t row_first;   // rows to prepare before its own, over all products
  int64_t cell_first;  // likewise cells
  int64_t per_cell, cells_per_chunk, num_chunks;
};

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

// What args.x takes when it is rounded or quantised.
size_t InputBytes(const GemmArgs& args) {
  const PackedLayout& layout = args.w->layout();
  if (layout.format == WeightFormat::kFloat32) return 0;
  if (layout.format == WeightFormat::kBFloat16)
    return Aligned(args.m * layout.padded_k * sizeof(BFloat16));
  return Aligned(args.m * (layout.padded_k + 3 * layout.num_groups() * sizeof(float)));
}

// Whether both read the same input in the same form, as a token's experts do.
bool ReadTheSame(const GemmArgs& a, const GemmArgs& b) {
  const PackedLayout &v = a.w->layout(), &w = b.w->layout();
  return a.x == b.x && a.x_stride == b.x_stride && a.m == b.m && v.k == w.k &&
         v.padded_k == w.padded_k && v.group_size == w.group_size &&
         (v.format == w.format || (IsInteger(v.format) && IsInteger(w.format))) &&
         a.w->column_order() == b.w->column_order();
}

void PlaceInput(Product& product, std::byte* at) {
  const GemmArgs& args = *product.args;
  const PackedLayout& layout = args.w->layout();
  product.input = at;
  if (layout.format == WeightFormat::kBFloat16) product.whole.x = at;
  if (!IsInteger(layout.format)) return;
  const int64_t codes = args.m * layout.padded_k, parameters = args.m * layout.num_groups();
  CodeRows& rows = product.whole.codes;
  rows.codes = reinterpret_cast<int8_t*>(at);
  rows.scales = reinterpret_cast<float*>(at + codes);
  rows.scaled_sums = rows.scales + parameters;
  rows.sums = reinterpret_cast<int32_t*>(rows.scaled_sums + parameters);
}

// Rounds or quantises rows [begin, end) of a product's input.
void PrepareInput(const Product& product, int64_t begin, int64_t end) {
  static const auto& round = PickVariant(RoundRowsVariants(), MaxIsa());
  static const auto& quantize = PickVariant(QuantizeRowsVariants(), MaxIsa());
  const GemmArgs& args = *product.args;
  const PackedLayout& layout = args.w->layout();
  if (layout.format == WeightFormat::kBFloat16) {
    auto* out = reinterpret_cast<BFloat16*>(product.input);
    round.fn({args.x, args.x_stride, args.m, layout.k, layout.padded_k, out}, begin, end);
  } else {
    quantize.fn({.x = args.x,
                 .x_stride = args.x_stride,
                 .column_order = args.w->column_order(),
                 .m = args.m,
                 .k = layout.k,
                 .padded_k = layout.padded_k,
                 .group_size = layout.group_size,
                 .out = product.whole.codes},
                begin, end);
  }
}

// The product that index `i` falls into, counted by `first`.
const Product& ProductOf(absl::Span<const Product> products, int64_t Product::*first, int64_t i) {
  return *(std::ranges::upper_bound(products, i, {}, first) - 1);
}

// Fills `products`; their inputs lie from `memory` on. Returns the number of rows to prepare.
int64_t PlaceProducts(absl::Span<const GemmArgs> all, std::byte* memory,
                      absl::Span<Product> products) {
  int64_t num_rows = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const GemmArgs& args = all[i];
    Product& product = products[i];
    product.args = &args;
    product.whole = {.x = args.x,
                     .x_stride = args.x_stride,
                     .m = args.m,
                     .w = args.w,
                     .bias = args.bias,
                     .y = args.y,
                     .y_stride = args.y_stride};
    product.row_first = num_rows;
    if (i > 0 && ReadTheSame(all[i - 1], args)) {
      product.whole.x = products[i - 1].whole.x, product.whole.codes = products[i - 1].whole.codes;
    } else if (const size_t bytes = InputBytes(args); bytes > 0) {
      PlaceInput(product, memory);
      memory += bytes, num_rows += args.m;
    }
  }
  return num_rows;
}

// Rounds or quantises the inputs of all products.
void PrepareInputs(absl::Span<const Product> products, int64_t num_rows, KernelContext& ctx) {
  const auto prepare = [&](int64_t begin, int64_t end, int) {
    while (begin < end) {
      const Product& product = ProductOf(products, &Product::row_first, begin);
      const int64_t first = product.row_first, until = std::min(end, first + product.args->m);
      PrepareInput(product, begin - first, until - first);
      begin = until;
    }
  };
  // Little is prepared faster than other threads are told.
  constexpr int64_t kElementsPerLoop = 16 * 1024;
  if (num_rows * products.front().args->w->k() < kElementsPerLoop) {
    prepare(0, num_rows, 0);
  } else {
    ctx.threads().ParallelFor(num_rows, prepare);
  }
}

// Cuts the outputs of all products into cells. Returns their number.
int64_t CutOutputs(absl::Span<Product> products, int num_threads) {
  int64_t blocks = 0, cells = 0, num_cells = 0;
  for (const Product& product : products)
    blocks += (product.args->w->num_panels() + PackedLayout::kBlockPanels - 1) /
              PackedLayout::kBlockPanels;
  const int64_t per_cell = PanelsPerCell(blocks, num_threads);
  for (Product& product : products) {
    product.per_cell = per_cell;
    product.cells_per_chunk = (product.args->w->num_panels() + per_cell - 1) / per_cell;
    cells += product.cells_per_chunk;
  }
  for (Product& product : products) {
    const GemmArgs& args = *product.args;
    const bool is_empty = args.m == 0 || product.cells_per_chunk == 0;
    product.num_chunks = is_empty ? 0
                                  : std::max(NumRowChunks(args.m, cells, num_threads),
                                             NumResidentChunks(*product.variant, args.m, *args.w));
    product.cell_first = num_cells;
    num_cells += product.num_chunks * product.cells_per_chunk;
  }
  return num_cells;
}

void RunCell(const Product& product, int64_t i) {
  GemmTask task = product.whole;
  const int64_t chunk = i / product.cells_per_chunk, cell = i - chunk * product.cells_per_chunk;
  task.row_begin = ChunkBegin(chunk, product.num_chunks, task.m);
  task.row_end = ChunkBegin(chunk + 1, product.num_chunks, task.m);
  task.panel_begin = cell * product.per_cell;
  task.panel_end = std::min(task.w->num_panels(), task.panel_begin + product.per_cell);
  product.variant->fn(task);
}

// `products` is as long as `all`, its variants are set.
void RunProducts(absl::Span<const GemmArgs> all, absl::Span<Product> products, std::byte* memory,
                 KernelContext& ctx) {
  const int64_t num_rows = PlaceProducts(all, memory, products);
  const int64_t num_cells = CutOutputs(products, ctx.threads().num_threads());
  if (num_cells == 0) return;
  PrepareInputs(products, num_rows, ctx);
  ctx.threads().ParallelForStealing(num_cells, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Product& product = ProductOf(products, &Product::cell_first, i);
      RunCell(product, i - product.cell_first);
    }
  });
}

const Variant<GemmFn>& PickedFor(const PackedMatrix& w) {
  static const std::array<const Variant<GemmFn>*, 4> picked = [] {
    std::array<const Variant<GemmFn>*, 4> variants;
    for (uint32_t f = 0; f < 4; ++f) {
      variants[f] = &PickVariant(GemmVariants(static_cast<WeightFormat>(f)), MaxIsa());
    }
    return variants;
  }();
  return *picked[static_cast<size_t>(w.format())];
}

}  // namespace

void GemmWith(const Variant<GemmFn>& variant, const GemmArgs& args, KernelContext& ctx) {
  Product product = {.variant = &variant};
  RunProducts(absl::MakeConstSpan(&args, 1), absl::MakeSpan(&product, 1),
              ctx.Scratch(InputBytes(args)), ctx);
}

void Gemm(const GemmArgs& args, KernelContext& ctx) { GemmWith(PickedFor(*args.w), args, ctx); }

void GemmAll(absl::Span<const GemmArgs> all, KernelContext& ctx) {
  const size_t table_bytes = Aligned(all.size() * sizeof(Product));
  size_t bytes = table_bytes;
  for (const GemmArgs& args : all) bytes += InputBytes(args);
  std::byte* memory = ctx.Scratch(bytes);
  const absl::Span<Product> products(reinterpret_cast<Product*>(memory), all.size());
  std::uninitialized_value_construct(products.begin(), products.end());
  for (size_t i = 0; i < all.size(); ++i) products[i].variant = &PickedFor(*all[i].w);
  RunProducts(all, products, memory + table_bytes, ctx);
}

}  // namespace oneai::kernels
