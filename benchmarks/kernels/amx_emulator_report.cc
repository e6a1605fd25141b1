// What AMX products would cost on Sapphire Rapids, from the instructions that the emulator sees and
// a model of the core: no measurement, and said so in the output.
//
//   kernels_amx_emulator_report
//
// Two blocks of 64 outputs per shape run under the emulator, the others repeat them. Every tile
// load and store walks a model of the first two cache levels. A core needs the largest of
//
//   unit     TDP*: 16 (one per row of A on newer revisions; 16 is the worse case)
//   loads    TILELOADD: 8 from the first level (16 lines, 2 ports)
//   stores   TILESTORED: 16
//   L2       1.33 per line that moves to the first level (48 bytes a cycle)
//   L3       6 per line that misses the second level (about 10 bytes a cycle and core), but for the
//            first read of weights
//   FP       int4: per 16 sums of a group a conversion, a product and one or two FMAs, 2 ports
//
// cycles; int4 also unpacks (two stores per line of codes and chunk of 192 rows, 1 a cycle), loads
// sums and outputs and stores outputs (of two groups at once) beside the products. What nothing
// overlaps: 150 per LDTILECFG, and where the last sums are read back, 60 for the last product and
// its stores and 7 instructions a line at 4 a cycle. Beside it, DRAM gives the weights once at half
// of 28 GB/s; prefetches run ahead, so the longer of the two counts. Perfect overlap within a core
// is an assumption: take a share of the peak as what no bound of the list keeps the code from.
// Sources: Intel 64 Optimization Reference Manual, chapter 20 (AMX); rates of memory: the machine
// of the project's bars (3.27 GHz: 6.7 TFLOP/s on 2 cores, 28 GB/s).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_variants.h"
#include "tests/testing/amx_emulator.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::AmxEvent;
using ::oneai::testing::AmxOp;

constexpr double kGhz = 3.27;
constexpr double kDramBytesPerCycle = 14 / kGhz;  // 28 GB/s on 2 threads

// Least recently used lines of `kSets` sets.
template <int kSets, int kWays>
class CacheModel {
 public:
  // True if `line` was there. It is now.
  bool Touch(uint64_t line) {
    std::array<uint64_t, kWays>& ways = sets_[line % kSets];
    int at = 0;
    while (at < kWays - 1 && ways[at] != line) ++at;
    const bool hit = ways[at] == line;
    for (; at > 0; --at) ways[at] = ways[at - 1];
    ways[0] = line;
    return hit;
  }

 private:
  std::vector<std::array<uint64_t, kWays>> sets_ = std::vector<std::array<uint64_t, kWays>>(kSets);
};

// Follows the instructions of one thread.
class Follower {
 public:
  Follower(const std::byte* weights, int64_t bytes)
      : weights_begin_(reinterpret_cast<uintptr_t>(weights)), weights_end_(weights_begin_ + bytes) {
    oneai::testing::SetAmxObserverOfThread(
        {[](void* self, const AmxEvent& event) { static_cast<Follower*>(self)->See(event); },
         this});
  }
  ~Follower() { oneai::testing::SetAmxObserverOfThread({nullptr, nullptr}); }

  // Forgets the counts, not the caches.
  void Restart() {
    oneai::testing::AmxCountsOfThread() = {};
    l1_misses = l2_misses = weight_lines = 0;
  }

  double l1_misses = 0;
  double l2_misses = 0;     // of x and sums
  double weight_lines = 0;  // misses of weights, which come from DRAM ahead of their use

 private:
  void See(const AmxEvent& event) {
    if (event.op != AmxOp::kTileloadd && event.op != AmxOp::kTilestored) return;
    for (int r = 0; r < event.rows; ++r) {
      const uintptr_t address = event.address + r * event.stride;
      const uintptr_t last = (address + event.row_bytes - 1) / 64;
      for (uintptr_t line = address / 64; line <= last; ++line) SeeLine(line);
    }
  }
  void SeeLine(uintptr_t line) {
    const bool is_weight = line * 64 >= weights_begin_ && line * 64 < weights_end_;
    if (l1_.Touch(line)) return;
    ++l1_misses;
    if (l2_.Touch(line)) return;
    is_weight ? ++weight_lines : ++l2_misses;
  }

  CacheModel<64, 12> l1_;    // 48 KiB
  CacheModel<2048, 16> l2_;  // 2 MiB
  const uintptr_t weights_begin_, weights_end_;
};

struct Shape {
  const char* name;
  int64_t n, k;
};
constexpr Shape kShapes[] = {
    {"qkv", 4096, 1024}, {"o", 1024, 2048}, {"gate_up", 6144, 1024}, {"down", 1024, 3072}};

// Cycles of one core.
struct Estimate {
  double cycles = 0, unit = 0, dram = 0, core = 0;
};

struct Weights {
  const char* name;
  WeightFormat format;
  int64_t group;  // int4: k that share a scale; those of 64 have an offset, too
};
constexpr Weights kWeights[] = {{"bf16", WeightFormat::kBFloat16, 0},
                                {"int8", WeightFormat::kInt8, 0},
                                {"int4, groups of 32 with scales", WeightFormat::kInt4, 32},
                                {"int4, groups of 64 with offsets", WeightFormat::kInt4, 64}};

PackedMatrix MakeWeights(const Weights& weights, int64_t n, int64_t k, KernelContext& ctx) {
  const WeightFormat format = weights.format;
  if (format == WeightFormat::kBFloat16) {
    const std::vector<float> w(n * k, 0.5f);
    const MatrixView view{w.data(), Dtype::kFloat32, n, k, k};
    return *PackedMatrix::Pack({&view, 1}, Dtype::kBFloat16, ctx);
  }
  const int64_t group = format == WeightFormat::kInt8 ? k : weights.group;
  const std::vector<int8_t> codes(n * k, 3);
  const std::vector<float> scales(n * (k / group), 0.5f);
  const std::vector<float> offsets(scales.size(), 0.3f);
  const QuantizedMatrixView view{.codes = codes.data(),
                                 .scales = scales.data(),
                                 .offsets = group == 64 ? offsets.data() : nullptr,
                                 .n = n,
                                 .k = k,
                                 .group_size = group,
                                 .bits = format == WeightFormat::kInt8 ? 8 : 4};
  return *PackedMatrix::PackQuantized({&view, 1}, ctx);
}

// Of what the thread has counted for `w`; prints a line.
Estimate Cost(WeightFormat format, const Shape& shape, int64_t m, const PackedMatrix& w,
              const Follower& follower) {
  const auto& counts = oneai::testing::AmxCountsOfThread();
  const double products = static_cast<double>(counts[AmxOp::kTdpbf16ps] + counts[AmxOp::kTdpbsud]);
  const double loads = static_cast<double>(counts[AmxOp::kTileloadd]);
  const double stores = static_cast<double>(counts[AmxOp::kTilestored]);
  const double configs = static_cast<double>(counts[AmxOp::kLdtilecfg]);
  const double bytes = static_cast<double>(w.bytes());
  const double blocks = static_cast<double>(w.num_panels() / PackedLayout::kBlockPanels);
  const double rows = static_cast<double>(m);
  const double row_tiles = static_cast<double>((m + 15) / 16);
  const double unit = products * 16;
  const double l2 = follower.l1_misses * 1.33;
  const double again = std::max(0.0, follower.weight_lines - bytes / 64);
  const double l3 = (follower.l2_misses + again) * 6;
  const double dram = bytes / kDramBytesPerCycle;
  const bool is_int4 = format == WeightFormat::kInt4;
  // Lines of 16 sums that AVX-512 scales, and those it scales when the unit has nothing left to do:
  // those of the last group or two of a chunk, 768 k deep with int4, all of the depth with int8.
  const double groups = is_int4 ? static_cast<double>(w.layout().num_groups()) : 0;
  const double lines = blocks * groups * rows * 4;
  const double ends = is_int4                         ? std::ceil(shape.k / 768.0)
                      : format == WeightFormat::kInt8 ? 1
                                                      : 0;  // bf16 is stored as it is
  const double read_back = blocks * ends * (row_tiles * 60 + rows * 4 * 7.0 / 4);
  const double has_offsets = w.layout().offset_form == OffsetForm::kNone ? 0 : 1;
  const double fp = lines * (3 + has_offsets) / 2;
  const double vector_loads = lines * (1.5 + 0.25 * (1 + has_offsets)) / 2;
  const double unpack = is_int4 ? bytes / 64 * 2 * std::ceil(rows / 192) : 0;
  const double vector_stores = lines / 2 + unpack;
  const double load_cycles = loads * 8 + vector_loads, store_cycles = stores * 16 + vector_stores;
  const double core =
      std::max({unit, load_cycles, store_cycles, l2, l3, fp}) + configs * 150 + read_back;
  std::printf(
      "%-8s m %3ld  TDP %6.0f  loads/TDP %.2f  stores/TDP %.2f  configs %2.0f | of TDP time: loads "
      "%.0f%% stores %.0f%% FP %.0f%% L2 %.0f%% L3 %.0f%% read-back %.0f%% | core %.2fx DRAM\n",
      shape.name, static_cast<long>(m), products, loads / products, stores / products, configs,
      100 * load_cycles / unit, 100 * store_cycles / unit, 100 * fp / unit, 100 * l2 / unit,
      100 * l3 / unit, 100 * read_back / unit, core / dram);
  return {std::max(core, dram), unit, dram, core};
}

Estimate Run(const Weights& weights, const Shape& shape, int64_t m, KernelContext& ctx) {
  // Two blocks, after another that leaves x where all later ones find it.
  constexpr int64_t kBlock = PackedLayout::kBlockPanels * PackedLayout::kPanelOutputs;
  const WeightFormat format = weights.format;
  const PackedMatrix w = MakeWeights(weights, 2 * kBlock, shape.k, ctx);
  const std::vector<float> x(m * shape.k, 1.0f);
  std::vector<float> y(m * shape.n);
  GemmArgs args{.x = x.data(), .x_stride = shape.k, .y = y.data(), .y_stride = shape.n, .m = m};
  const PackedMatrix before = MakeWeights(weights, kBlock, shape.k, ctx);
  Follower follower(w.data(), w.bytes());
  args.w = &before;
  GemmWith(GemmVariants(format).back(), args, ctx);
  follower.Restart();
  args.w = &w;
  GemmWith(GemmVariants(format).back(), args, ctx);
  const Estimate two = Cost(format, shape, m, w, follower);
  const double times = static_cast<double>(shape.n) / (2 * kBlock);
  return {std::max(two.core, two.dram) * times, two.unit * times, two.dram * times,
          two.core * times};
}

int Main() {
  if (GetCpuInfo().features.amx_bf16) {
    std::printf("this processor has AMX: measure with kernels_gemm_bench instead\n");
    return 1;
  }
  oneai::testing::InstallAmxEmulator(oneai::testing::AbortOnAmxFault);
  std::printf("emulator: a model of Sapphire Rapids, not a measurement\n");
  KernelContext ctx(1);
  double bf16_prefill = 0;
  for (const Weights& weights : kWeights) {
    std::printf("\n%s\n", weights.name);
    for (const int64_t m : {512, 16, 1}) {
      Estimate layer;
      for (const Shape& shape : kShapes) {
        const Estimate e = Run(weights, shape, m, ctx);
        layer.cycles += e.cycles;
        layer.unit += e.unit;
        layer.dram += e.dram;
        layer.core += e.core;
      }
      if (m == 512 && weights.format == WeightFormat::kBFloat16) bf16_prefill = layer.cycles;
      std::printf(
          "Qwen3-0.6B layer, m %ld: %.0f%% of the unit's peak, %.0f%% of DRAM; core %.2fx DRAM",
          static_cast<long>(m), 100 * layer.unit / layer.cycles, 100 * layer.dram / layer.cycles,
          layer.core / layer.dram);
      if (m == 512) std::printf("; %.2fx the speed of bf16", bf16_prefill / layer.cycles);
      std::printf("\n");
    }
  }
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main() { return oneai::kernels::Main(); }
