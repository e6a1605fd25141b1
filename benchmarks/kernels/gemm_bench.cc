// Packed products at the shapes of Qwen3-0.6B, as a share of what this machine was measured to be
// able to do in the same run: by format, number of rows and shape. "layers" multiplies the matrices
// of so many layers in turn that they come from memory; the other rows multiply one matrix again
// and again. The floor is the larger of the bytes over the read bandwidth ("layers" only) and the
// operations over the register-only rate of the same instruction; the share is floor over time.
//
//   gemm_bench [--threads N] [--variant NAME] [--format bf16,int8,int4] [--m 1,8,512] [--json FILE]
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
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
constexpr double kStreamBytes = 2.5e8;  // beyond any cache here
constexpr int64_t kManyRows = 64;       // from here on one layer is timed

struct Options {
  int threads = 0;
  std::string variant, json;
  std::vector<WeightFormat> formats = {WeightFormat::kBFloat16, WeightFormat::kInt8,
                                       WeightFormat::kInt4};
  std::vector<int64_t> rows = {1, 2, 4, 8, 16, 32, 64, 512};
};

struct Result {
  WeightFormat format;
  std::string variant, shape;
  int64_t m;
  double seconds, bytes, ops, bandwidth, peak;  // bytes: 0 if they need not come from memory

  double floor_s() const { return std::max(bytes / bandwidth, peak > 0 ? ops / peak : 0.0); }
};

PackedMatrix RandomWeights(const Shape& shape, WeightFormat format, KernelContext& ctx) {
  std::vector<BFloat16> w(shape.n * shape.k);
  std::minstd_rand random(1);
  for (BFloat16& x : w) x = {static_cast<uint16_t>(0x3c00 + (random() & 0x80ff))};
  const MatrixView view{w.data(), Dtype::kBFloat16, shape.n, shape.k, shape.k};
  return *PackedMatrix::Pack({&view, 1}, format, ctx);
}

double Ops(const PackedMatrix& w, int64_t m) {
  return 2.0 * static_cast<double>(m * w.n()) * static_cast<double>(w.k());
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), ctx_(options.threads) {}

  std::vector<Result> Run() {
    std::printf("%s, %d threads\n", GetCpuInfo().model_name.c_str(), ctx_.threads().num_threads());
    std::printf("%-8s %-12s %5s %-8s %10s %9s %9s %7s %7s %7s\n", "format", "variant", "m", "shape",
                "ms", "GB/s", "Gop/s", "bw %", "peak %", "share %");
    for (const WeightFormat format : options_.formats) {
      for (const Variant<GemmFn>& variant : GemmVariants(format)) {
        if (variant.isa == CpuIsa::kReference || !variant.is_supported(GetCpuInfo().features) ||
            (!options_.variant.empty() && options_.variant != variant.name)) {
          continue;
        }
        RunVariant(format, variant);
      }
    }
    return std::move(results_);
  }

 private:
  void RunVariant(WeightFormat format, const Variant<GemmFn>& variant) {
    std::vector<PackedMatrix> weights;
    double bytes = 0;
    while (bytes < kStreamBytes) {
      for (const Shape& shape : kLayer) {
        weights.push_back(RandomWeights(shape, format, ctx_));
        bytes += static_cast<double>(weights.back().bytes());
      }
    }
    for (const int64_t m : options_.rows) {
      // Ceilings are measured next to each figure, because a shared machine's vary over seconds.
      const double bandwidth = MeasureReadBandwidth(ctx_, 0.3);
      const double peak = MeasurePeakFlops(variant.name, ctx_);
      if (m < kManyRows) {
        Time(format, variant, m, "layers", weights, bytes, bandwidth, peak);
        continue;
      }
      for (size_t i = 0; i < std::size(kLayer); ++i) {
        Time(format, variant, m, kLayer[i].name, {&weights[i], 1}, 0, bandwidth, peak);
      }
      Time(format, variant, m, "layer", {weights.data(), std::size(kLayer)}, 0, bandwidth, peak);
    }
  }

  void Time(WeightFormat format, const Variant<GemmFn>& variant, int64_t m, const char* shape,
            absl::Span<const PackedMatrix> weights, double bytes, double bandwidth, double peak) {
    std::vector<float> x(m * 3072), y(m * 6144);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 8.0f;
    Result result{format, std::string(variant.name), shape, m, 0, bytes, 0, bandwidth, peak};
    double read = 0;
    for (const PackedMatrix& w : weights) {
      result.ops += Ops(w, m);
      read += static_cast<double>(w.bytes());
    }
    result.seconds = BestSeconds(8, [&] {
      for (const PackedMatrix& w : weights) {
        GemmWith(
            variant,
            {.x = x.data(), .x_stride = w.k(), .w = &w, .y = y.data(), .y_stride = w.n(), .m = m},
            ctx_);
      }
    });
    std::printf("%-8s %-12s %5ld %-8s %10.3f %9.2f %9.1f %7.1f %7.1f %7.1f\n",
                std::string(FormatName(format)).c_str(), result.variant.c_str(),
                static_cast<long>(m), shape, result.seconds * 1e3, read / result.seconds / 1e9,
                result.ops / result.seconds / 1e9, 100 * bytes / result.seconds / bandwidth,
                peak > 0 ? 100 * result.ops / result.seconds / peak : 0.0,
                100 * result.floor_s() / result.seconds);
    std::fflush(stdout);
    results_.push_back(std::move(result));
  }

  const Options& options_;
  KernelContext ctx_;
  std::vector<Result> results_;
};

std::string ToJson(const std::vector<Result>& results) {
  std::string json = "[";
  for (const Result& r : results) {
    absl::StrAppendFormat(
        &json,
        "%s\n  {\"format\":\"%s\",\"variant\":\"%s\",\"shape\":\"%s\",\"m\":%d,\"seconds\":%.6g,"
        "\"bytes\":%.0f,\"ops\":%.0f,\"dram_read_bytes_per_s\":%.4g,\"peak_ops_per_s\":%.4g,"
        "\"share_of_ceiling\":%.4f}",
        json.size() > 1 ? "," : "", FormatName(r.format), r.variant, r.shape, r.m, r.seconds,
        r.bytes, r.ops, r.bandwidth, r.peak, r.floor_s() / r.seconds);
  }
  return json + "\n]\n";
}

bool ParseOptions(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const absl::string_view flag = argv[i], value = argv[i + 1];
    if (flag == "--threads") {
      if (!absl::SimpleAtoi(value, &options.threads)) return false;
    } else if (flag == "--variant") {
      options.variant = std::string(value);
    } else if (flag == "--json") {
      options.json = std::string(value);
    } else if (flag == "--format") {
      options.formats.clear();
      for (uint32_t f = 0; f < 4; ++f) {
        const std::vector<std::string> names = absl::StrSplit(value, ',');
        const auto format = static_cast<WeightFormat>(f);
        for (const std::string& name : names) {
          if (name == FormatName(format)) options.formats.push_back(format);
        }
      }
    } else if (flag == "--m") {
      options.rows.clear();
      for (const absl::string_view text : absl::StrSplit(value, ',')) {
        int64_t m = 0;
        if (!absl::SimpleAtoi(text, &m) || m < 1) return false;
        options.rows.push_back(m);
      }
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options)) {
    std::fprintf(stderr,
                 "gemm_bench [--threads N] [--variant NAME] [--format bf16,int8,int4] "
                 "[--m 1,8,512] [--json FILE]\n");
    return 2;
  }
  const std::vector<Result> results = Bench(options).Run();
  if (!options.json.empty()) std::ofstream(options.json) << ToJson(results);
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main(int argc, char** argv) { return oneai::kernels::Main(argc, argv); }
