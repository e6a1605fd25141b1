// Packed products at the shapes of Qwen3-0.6B, as a share of what this machine was measured to be
// able to do in the same run: by format, number of rows and shape. "layers" multiplies the matrices
// of so many layers in turn that they come from memory; the other rows multiply one matrix again
// and again.
//
// Rounds of the kernel alternate with rounds that only load the same bytes in the same order, with
// the same hint and the same cut among the threads ("layers" only), and with the register-only loop
// of the same instruction, because a shared machine changes within seconds. A round's floor is the
// larger of its loads' time and its operations at that rate; the share is the median of floor over
// time.
//
//   gemm_bench [--threads N] [--variant NAME] [--format bf16,int8,int4] [--m 1,8,512] [--json FILE]
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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
constexpr int64_t kAheadBytes = 8192;   // kStreamAheadBytes of the kernels
constexpr int kRounds = 15;
constexpr int64_t kManyRows = 64;  // from here on one layer is timed

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
  // Medians of the rounds; loads_s: 0 if the weights need not come from memory; peak: 0 if the
  // instruction's rate is not known.
  double seconds, loads_s, bytes, ops, peak;
  double share;
};

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

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
    std::printf("%-8s %-12s %5s %-8s %9s %7s %7s %7s %8s %7s %7s\n", "format", "variant", "m",
                "shape", "ms", "GB/s", "loads", "loads %", "Gop/s", "peak %", "share %");
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
    // One layer is packed and the others are its copies: what they hold makes no difference.
    std::vector<PackedMatrix> weights;
    std::vector<SharedPages::Piece> copies;
    double bytes = 0;
    for (size_t i = 0; i < std::size(kLayer) || bytes < kStreamBytes; ++i) {
      if (i < std::size(kLayer)) {
        weights.push_back(RandomWeights(kLayer[i], format, ctx_));
      } else {
        const PackedMatrix& source = weights[i % std::size(kLayer)];
        const size_t size = source.payload().size();
        copies.push_back(ctx_.pages().Allocate(size));
        std::memcpy(copies.back().get(), source.data(), size);
        weights.push_back(*PackedMatrix::FromMapped(source.header(), {copies.back().get(), size}));
      }
      bytes += static_cast<double>(weights.back().bytes());
    }
    for (const int64_t m : options_.rows) {
      if (m < kManyRows) {
        Time(variant, m, "layers", weights, true);
        continue;
      }
      for (size_t i = 0; i < std::size(kLayer); ++i) {
        Time(variant, m, kLayer[i].name, {&weights[i], 1}, false);
      }
      Time(variant, m, "layer", {weights.data(), std::size(kLayer)}, false);
    }
  }

  // Seconds of loading all bytes of `weights`, block by block as Gemm() does.
  double TimeLoads(absl::Span<const PackedMatrix> weights) {
    return BestSeconds(1, [&] {
      for (const PackedMatrix& w : weights) {
        const int64_t blocks = w.num_panels() / PackedLayout::kBlockPanels;
        const int64_t bytes = w.layout().BlockBytes(PackedLayout::kBlockPanels);
        ctx_.threads().ParallelForStealing(blocks, [&](int64_t begin, int64_t end, int) {
          sink_ += ReadOnce(w.data() + begin * bytes, (end - begin) * bytes, kAheadBytes);
        });
      }
    });
  }

  void Time(const Variant<GemmFn>& variant, int64_t m, const char* shape,
            absl::Span<const PackedMatrix> weights, bool from_memory) {
    std::vector<float> x(m * 3072), y(m * 6144);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 8.0f;
    double ops = 0, bytes = 0;
    for (const PackedMatrix& w : weights) {
      ops += Ops(w, m);
      bytes += static_cast<double>(w.bytes());
    }
    std::vector<double> seconds, loads, peaks, shares;
    for (int round = 0; round < kRounds; ++round) {
      seconds.push_back(BestSeconds(1, [&] {
        for (const PackedMatrix& w : weights) {
          GemmWith(
              variant,
              {.x = x.data(), .x_stride = w.k(), .w = &w, .y = y.data(), .y_stride = w.n(), .m = m},
              ctx_);
        }
      }));
      loads.push_back(from_memory ? TimeLoads(weights) : 0);
      peaks.push_back(MeasurePeakFlops(variant.name, ctx_, 0.004));
      const double unit_s = peaks.back() > 0 ? ops / peaks.back() : 0;
      shares.push_back(std::max(loads.back(), unit_s) / seconds.back());
    }
    Report({weights[0].format(), std::string(variant.name), shape, m, Median(seconds),
            Median(loads), bytes, ops, Median(peaks), Median(shares)});
  }

  void Report(const Result& r) {
    const auto percent = [](double part, double whole) {
      return whole > 0 ? 100 * part / whole : 0;
    };
    std::printf("%-8s %-12s %5ld %-8s %9.3f %7.2f %7.2f %7.1f %8.1f %7.1f %7.1f\n",
                std::string(FormatName(r.format)).c_str(), r.variant.c_str(),
                static_cast<long>(r.m), r.shape.c_str(), r.seconds * 1e3, r.bytes / r.seconds / 1e9,
                r.loads_s > 0 ? r.bytes / r.loads_s / 1e9 : 0, percent(r.loads_s, r.seconds),
                r.ops / r.seconds / 1e9, percent(r.ops / r.seconds, r.peak), 100 * r.share);
    std::fflush(stdout);
    results_.push_back(r);
  }

  const Options& options_;
  KernelContext ctx_;
  std::vector<Result> results_;
  std::atomic<uint64_t> sink_{0};
};

std::string ToJson(const std::vector<Result>& results) {
  std::string json = "[";
  for (const Result& r : results) {
    absl::StrAppendFormat(
        &json,
        "%s\n  {\"format\":\"%s\",\"variant\":\"%s\",\"shape\":\"%s\",\"m\":%d,\"seconds\":%.6g,"
        "\"bytes\":%.0f,\"ops\":%.0f,\"loads_seconds\":%.6g,\"peak_ops_per_s\":%.4g,"
        "\"share_of_ceiling\":%.4f}",
        json.size() > 1 ? "," : "", FormatName(r.format), r.variant, r.shape, r.m, r.seconds,
        r.bytes, r.ops, r.loads_s, r.peak, r.share);
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
