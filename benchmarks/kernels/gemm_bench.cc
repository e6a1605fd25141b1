// Packed GEMM at the shapes of Qwen3-0.6B, as a share of what this machine was measured to be able
// to do in the same run: decode (m = 1, weights of many layers in turn, so that they come from
// memory) against the read bandwidth, prefill (m = 512) against the register-only rate of the same
// instruction.
//
//   gemm_bench [threads [variant]]
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "absl/strings/string_view.h"
#include "benchmarks/kernels/machine_peaks.h"
#include "benchmarks/kernels/stopwatch.h"
#include "kernels/gemm/gemm.h"

namespace oneai::kernels {
namespace {

struct Shape {
  const char* name;
  int64_t n, k;
};
// hidden 1024, 16 query and 8 key-value heads of 128, intermediate 3072.
constexpr Shape kLayer[] = {
    {"qkv", 4096, 1024}, {"o", 1024, 2048}, {"gate_up", 6144, 1024}, {"down", 1024, 3072}};
constexpr int kDecodeLayers = 12;  // 377 MB of bf16 weights: beyond any cache here

PackedMatrix RandomWeights(const Shape& shape, Dtype dtype, KernelContext& ctx) {
  std::vector<BFloat16> w(shape.n * shape.k);
  std::minstd_rand random(1);
  for (BFloat16& x : w) x = {static_cast<uint16_t>(0x3c00 + (random() & 0x80ff))};
  const MatrixView view{w.data(), Dtype::kBFloat16, shape.n, shape.k, shape.k};
  return *PackedMatrix::Pack({&view, 1}, dtype, ctx);
}

void Prefill(const Variant<GemmFn>& variant, Dtype dtype, int64_t m, KernelContext& ctx) {
  for (const Shape& shape : kLayer) {
    const PackedMatrix w = RandomWeights(shape, dtype, ctx);
    std::vector<float> x(m * shape.k, 0.5f), y(m * shape.n);
    const GemmArgs args{
        .x = x.data(), .x_stride = shape.k, .w = &w, .y = y.data(), .y_stride = shape.n, .m = m};
    // The ceiling is measured next to each figure, because a shared machine's varies over seconds.
    const double peak = MeasurePeakFlops(variant.name, ctx);
    const double seconds = BestSeconds(6, [&] { GemmWith(variant, args, ctx); });
    const double flops = 2.0 * m * shape.n * shape.k / seconds;
    std::printf("  m=%-4ld %-8s n=%-5ld k=%-5ld %9.3f ms  %8.1f GFLOP/s", static_cast<long>(m),
                shape.name, static_cast<long>(shape.n), static_cast<long>(shape.k), seconds * 1e3,
                flops / 1e9);
    std::printf("  %5.1f %% of peak %.0f\n", 100 * flops / peak, peak / 1e9);
  }
}

void Decode(const Variant<GemmFn>& variant, Dtype dtype, int64_t m, KernelContext& ctx) {
  std::vector<PackedMatrix> weights;
  double bytes = 0;
  for (int layer = 0; layer < kDecodeLayers; ++layer) {
    for (const Shape& shape : kLayer) {
      weights.push_back(RandomWeights(shape, dtype, ctx));
      bytes += static_cast<double>(weights.back().bytes());
    }
  }
  std::vector<float> x(m * 3072, 0.5f), y(m * 6144);
  const double bandwidth = MeasureReadBandwidth(ctx);
  const double seconds = BestSeconds(6, [&] {
    for (const PackedMatrix& w : weights) {
      GemmWith(
          variant,
          {.x = x.data(), .x_stride = w.k(), .w = &w, .y = y.data(), .y_stride = w.n(), .m = m},
          ctx);
    }
  });
  std::printf(
      "  m=%-4ld %d layers, %.0f MB    %9.3f ms  %8.2f GB/s  %5.1f %% of read bandwidth %.1f\n",
      static_cast<long>(m), kDecodeLayers, bytes / 1e6, seconds * 1e3, bytes / seconds / 1e9,
      100 * bytes / seconds / bandwidth, bandwidth / 1e9);
}

int Main(int argc, char** argv) {
  KernelContext ctx(argc > 1 ? std::atoi(argv[1]) : 0);
  const absl::string_view only = argc > 2 ? argv[2] : "";
  const CpuInfo& cpu = GetCpuInfo();
  std::printf("%s, %d threads\n", cpu.model_name.c_str(), ctx.threads().num_threads());
  for (const Dtype dtype : {Dtype::kBFloat16, Dtype::kFloat32}) {
    for (const Variant<GemmFn>& variant : GemmVariants(dtype)) {
      if (variant.isa == CpuIsa::kReference || !variant.is_supported(cpu.features)) continue;
      if (!only.empty() && only != variant.name) continue;
      std::printf("%s weights, %s\n", dtype == Dtype::kBFloat16 ? "bf16" : "float32",
                  variant.name.data());
      for (const int64_t m : {1, 4, 8, 16}) Decode(variant, dtype, m, ctx);
      for (const int64_t m : {32, 64, 512}) Prefill(variant, dtype, m, ctx);
    }
  }
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main(int argc, char** argv) { return oneai::kernels::Main(argc, argv); }
