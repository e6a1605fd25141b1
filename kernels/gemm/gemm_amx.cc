// Idea: a tile of x (up to 16 rows x 64 bytes) meets the tiles of four panels (16 rows x 64 bytes
// each, one KiB of w as it lies in memory) in four tiles of sums. Weights of a chunk of depth stay
// in the first cache while all rows pass, so the unit is fed from there: five loads of 16 rows for
// four products of 16 cycles. Every sum takes its products in order of k, whatever the shape of the
// work around it. int4 codes are unpacked once per chunk, and a group's sums are scaled while the
// unit multiplies the next. Source: Intel SDM, TDPBF16PS, TDPBSUD, LDTILECFG.
//
// Bottleneck: the matrix unit for many rows, DRAM for few. Never run on hardware by its authors:
// tests run these instructions in an emulator (tests/testing/amx_emulator.h), and
// benchmarks/kernels/amx_emulator_report counts them.
#include <type_traits>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/gemm/gemm_avx512_scale.h"
#include "kernels/gemm/gemm_int_groups.h"
#include "kernels/gemm/gemm_int_scale.h"
#include "kernels/gemm/gemm_tiling.h"
#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

// Weights of a chunk: half of the first level (48 KiB), beside a row tile's x, its sums on their
// way through memory and the lines of the next chunk that arrive meanwhile. With 32 KiB the weights
// would be evicted before the next row tile reads them.
constexpr int64_t kFirstLevelBytes = 24576;
// Rows for which such a chunk comes from the second level once. That level moves 11 lines a product
// with 96 rows, near its limit of 12 in 16 cycles; 9 with these.
constexpr int64_t kRowsPerFill = 192;
constexpr int64_t kCarryRowBytes = kBlockOutputs * int64_t{sizeof(float)};

// Tiles 0-3 are sums, 4 is x, 5 to 7 are w in turn.
class TileUnit {
 public:
  ~TileUnit() {
    if (key_ >= 0) AmxTiles::Release();
  }

  // Shapes for `rows` rows of x with `x_bytes` bytes each. Configuring clears all tiles and takes
  // some hundred cycles, so it is done when shapes change.
  void Configure(int64_t rows, int64_t x_bytes) {
    const int64_t key = rows * 128 + x_bytes;
    if (key == key_) return;
    key_ = key;
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) {
      config.rows[tile] = static_cast<uint8_t>(tile < 5 ? rows : x_bytes / 4);
      config.row_bytes[tile] = static_cast<uint16_t>(tile == 4 ? x_bytes : kLineBytes);
    }
    AmxTiles::Configure(config);
  }

  // Starts the sums of `kPanels` panels at zero, or at `from`.
  template <int kPanels, typename T>
  static void Begin(const T* from) {
    if (from == nullptr) {
      AmxTiles::Zero<0>();
      if constexpr (kPanels == 4) {
        AmxTiles::Zero<1>();
        AmxTiles::Zero<2>();
        AmxTiles::Zero<3>();
      }
      return;
    }
    AmxTiles::Load<0>(from, kCarryRowBytes);
    if constexpr (kPanels == 4) {
      AmxTiles::Load<1>(from + 16, kCarryRowBytes);
      AmxTiles::Load<2>(from + 32, kCarryRowBytes);
      AmxTiles::Load<3>(from + 48, kCarryRowBytes);
    }
  }

  template <int kPanels, typename T>
  static void End(T* to, int64_t row_bytes) {
    AmxTiles::Store<0>(to, row_bytes);
    if constexpr (kPanels == 4) {
      AmxTiles::Store<1>(to + 16, row_bytes);
      AmxTiles::Store<2>(to + 32, row_bytes);
      AmxTiles::Store<3>(to + 48, row_bytes);
    }
  }

 private:
  int64_t key_ = -1;
};

struct Bf16Products {
  template <int kC, int kA, int kB>
  static void Multiply() {
    AmxTiles::MultiplyBf16<kC, kA, kB>();
  }
};
struct ByteProducts {
  template <int kC, int kA, int kB>
  static void Multiply() {
    AmxTiles::MultiplyInt8<kC, kA, kB>();
  }
};

// Adds the products of one tile of x with those of `kPanels` panels, `panel_bytes` apart.
template <class Products, int kPanels>
void MultiplyStep(const void* x, const std::byte* w, int64_t panel_bytes) {
  AmxTiles::Load<4>(x, kLineBytes);
  AmxTiles::Load<5>(w, kLineBytes);
  Products::template Multiply<0, 4, 5>();
  if constexpr (kPanels == 4) {
    AmxTiles::Load<6>(w + panel_bytes, kLineBytes);
    Products::template Multiply<1, 4, 6>();
    AmxTiles::Load<7>(w + 2 * panel_bytes, kLineBytes);
    Products::template Multiply<2, 4, 7>();
    AmxTiles::Load<5>(w + 3 * panel_bytes, kLineBytes);
    Products::template Multiply<3, 4, 5>();
  }
}

// Rows of the tiles for a last group of `rows` rows: those of the groups before it, because another
// configuration costs more than rows that nobody reads. x may be read that far (KernelContext).
int64_t TileRowsOf(const GemmTask& task, int64_t rows) {
  static_assert(kRowGroup * kLineBytes <= KernelContext::kReadableBeyond);
  return task.m > kRowGroup ? kRowGroup : rows;
}

// Outputs from the sums of weights with one group and no offsets, by way of no other memory; the
// bits of Avx512Scale and StoreFromCarry.
template <int kBits, int kPanels>
void StoreScaled(const GemmTask& task, const TileWork& work, int64_t rows, const std::byte* group) {
  const PackedLayout& layout = task.w->layout();
  const int64_t lane = work.panel % PackedLayout::kBlockPanels;
  __m512 scale[kPanels], bias[kPanels];
  __mmask16 exists[kPanels];
  for (int p = 0; p < kPanels; ++p) {
    const std::byte* at = group + (lane + p) * layout.scale_bytes();
    exists[p] = static_cast<__mmask16>((1u << PanelOutputs(task, work.panel + p)) - 1u);
    scale[p] = layout.scale_form == ScaleForm::kFloat32
                   ? _mm512_loadu_ps(at)
                   : _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    const int64_t output = (work.panel + p) * PackedMatrix::kPanelOutputs;
    bias[p] = task.bias == nullptr ? _mm512_setzero_ps()
                                   : _mm512_maskz_loadu_ps(exists[p], task.bias + output);
  }
  float* y = task.y + work.row * task.y_stride + work.panel * PackedMatrix::kPanelOutputs;
  for (int64_t r = 0; r < rows; ++r, y += task.y_stride) {
    const __m512 x_scale = _mm512_set1_ps(task.codes.scales[work.row + r]);
    // int8 codes are stored with + 128.
    const __m512i shift = _mm512_set1_epi32(kBits == 8 ? 128 * task.codes.sums[work.row + r] : 0);
    const int32_t* sums = work.group_carry + r * kBlockOutputs;
    for (int p = 0; p < kPanels; ++p) {
      const __m512i sum = _mm512_sub_epi32(_mm512_load_si512(sums + 16 * p), shift);
      const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), x_scale);
      __m512 out = _mm512_fmadd_ps(scaled, scale[p], _mm512_setzero_ps());
      if (task.bias != nullptr) out = _mm512_add_ps(out, bias[p]);
      _mm512_mask_storeu_ps(y + 16 * p, exists[p], out);
    }
  }
}

// bf16 weights.
class Bf16OnTiles {
 public:
  static constexpr int64_t kRows = kRowGroup;
  static constexpr int kPanels = 4;
  static constexpr int64_t ChunkBytes(int64_t) { return kFirstLevelBytes; }
  static constexpr int64_t kChunkRows = kRowsPerFill;

  template <int kCount>
  void Run(int64_t rows, const GemmTask& task, const TileWork& work) {
    static_assert(kRowGroup == 16 && kDepthStep == 32 && PackedMatrix::kPanelOutputs == 16);
    const int64_t tile_rows = TileRowsOf(task, rows);
    unit_.Configure(tile_rows, kLineBytes);
    const PairRows x_rows = LocatePairs(task, work.row);
    const TileStream stream = StreamOf(task, work.panel);
    const int32_t* x = x_rows.data + work.k_begin / kDepthStep * x_rows.step;
    const std::byte* w = stream.data + work.k_begin / kDepthStep * stream.step;
    unit_.Begin<kCount>(work.first ? nullptr : work.carry);
    Stream ahead(work);
    for (int64_t k = work.k_begin; k < work.k_end; k += kDepthStep) {
      ahead.Step(w);
      ahead.AskAll<kCount>(kTileBytes / kLineBytes);
      MultiplyStep<Bf16Products, kCount>(x, w, kTileBytes);
      x += x_rows.step;
      w += stream.step;
    }
    const bool whole = PanelOutputs(task, work.panel + kCount - 1) == PackedMatrix::kPanelOutputs;
    if (work.last && task.bias == nullptr && whole && rows == tile_rows) {
      float* y = task.y + work.row * task.y_stride + work.panel * PackedMatrix::kPanelOutputs;
      unit_.End<kCount>(y, task.y_stride * static_cast<int64_t>(sizeof(float)));
      return;
    }
    unit_.End<kCount>(work.carry, kCarryRowBytes);
    if (work.last) StoreFromCarry(task, work, rows, kCount);
  }

 private:
  TileUnit unit_;
};

// The int4 codes of a chunk as bytes: its first row tile unpacks them, the others find them.
class UnpackedChunk {
 public:
  // Before a row tile's steps.
  void Begin(const TileWork& work, int64_t step_bytes) {
    const bool is_same = work.panel == panel_ && work.k_begin == k_begin_;
    is_done_ = is_same && fits_;
    panel_ = work.panel;
    k_begin_ = work.k_begin;
    num_slots_ = kBytes / step_bytes;
    fits_ = true;
  }

  // The tiles of `num_panels` panels, `2 * tile_bytes` apart, of step `index` of the chunk.
  const std::byte* Step(int64_t index, const std::byte* w, int64_t num_panels, int64_t tile_bytes) {
    const int64_t bytes = num_panels * tile_bytes;
    std::byte* to = bytes_ + index % num_slots_ * 2 * bytes;
    if (is_done_) return to;
    fits_ = fits_ && index < num_slots_;  // a lone row tile may have any depth
    const __m512i mask = _mm512_set1_epi8(0x0f);
    for (int64_t line = 0; line < bytes; line += kLineBytes) {
      const __m512i codes = _mm512_load_si512(w + line);
      _mm512_store_si512(to + 2 * line, _mm512_and_si512(codes, mask));
      _mm512_store_si512(to + 2 * line + kLineBytes,
                         _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask));
    }
    return to;
  }

 private:
  // They come from the second level, but scaling takes longer than that, and less often ends with
  // a chunk.
  static constexpr int64_t kBytes = 2 * kFirstLevelBytes;

  int64_t panel_ = -1, k_begin_ = -1;
  int64_t num_slots_ = 0;
  bool is_done_ = false;
  bool fits_ = false;
  alignas(64) std::byte bytes_[kBytes];
};

// int8 and int4 weights.
template <int kBits>
class IntOnTiles {
 public:
  static constexpr int64_t kRows = kRowGroup;
  static constexpr int kPanels = 4;
  static constexpr int64_t ChunkBytes(int64_t) { return kFirstLevelBytes; }
  static constexpr int64_t kChunkRows = kRowsPerFill;

  template <int kCount>
  void Run(int64_t rows, const GemmTask& task, const TileWork& work) {
    const PackedLayout& layout = task.w->layout();
    const bool is_plain = layout.num_groups() == 1 && layout.offset_form == OffsetForm::kNone;
    unit_.Configure(TileRowsOf(task, rows), layout.tile_k);
    if constexpr (kBits == 4) unpacked_.Begin(work, 2 * kCount * layout.tile_bytes());
    // Complete groups whose sums rest in memory. They are scaled two at a time, between the
    // products of the next group and the moment these leave the unit.
    Avx512Scale::RestingGroup resting[2];
    int num_resting = 0;
    const auto scale = [&] {
      if (num_resting == 1 && is_plain) {
        StoreScaled<kBits, kCount>(task, work, rows, resting[0].data);
      } else if (num_resting == 1) {
        Avx512Scale::AddResting<kBits, kCount, 1>(task, work, rows, resting);
      } else if (num_resting == 2) {
        Avx512Scale::AddResting<kBits, kCount, 2>(task, work, rows, resting);
      }
      num_resting = 0;
    };
    ForEachPiece(task, work, [&](const GroupPiece& piece) {
      Multiply<kCount>(piece, layout.tile_k, layout.tile_bytes(), work.k_begin);
      if (num_resting == 2 || !piece.completes) scale();
      int32_t* sums = num_resting == 0 ? piece.sums : second_sums_;
      unit_.End<kCount>(sums, kCarryRowBytes);
      if (piece.completes) resting[num_resting++] = {piece.group, piece.group_data, sums};
    });
    scale();
    if (work.last && !is_plain) StoreFromCarry(task, work, rows, kCount);
  }

 private:
  // Leaves the piece's sums in the unit.
  template <int kCount>
  void Multiply(const GroupPiece& piece, int64_t tile_k, int64_t tile_bytes, int64_t k_begin) {
    unit_.Begin<kCount>(piece.continues ? piece.sums : nullptr);
    const std::byte* w = piece.w;
    Stream ahead(piece);
    for (int64_t k = piece.k; k < piece.k_end; k += tile_k, w += piece.w_step) {
      ahead.Step(w);
      ahead.AskAll<kCount>(tile_bytes / kLineBytes);
      const std::byte* tiles = w;
      if constexpr (kBits == 4) {
        tiles = unpacked_.Step((k - k_begin) / tile_k, w, kCount, tile_bytes);
      }
      MultiplyStep<ByteProducts, kCount>(piece.CodesAt(k), tiles, tile_bytes * 8 / kBits);
    }
  }

  struct Nothing {};

  TileUnit unit_;
  alignas(64) int32_t second_sums_[kRowGroup * kBlockOutputs];
  [[no_unique_address]] std::conditional_t<kBits == 4, UnpackedChunk, Nothing> unpacked_;
};

}  // namespace

void GemmAmxBf16(const GemmTask& task) { TileLoop<Bf16OnTiles>(task).Run(); }
void GemmAmxInt8(const GemmTask& task) { TileLoop<IntOnTiles<8>>(task).Run(); }
void GemmAmxInt4(const GemmTask& task) { TileLoop<IntOnTiles<4>>(task).Run(); }

}  // namespace oneai::kernels
