// The elementwise operations on 512 tokens of Qwen3-0.6B, every variant against the reference, one
// thread.
//
//   ops_bench
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/kernels/stopwatch.h"
#include "kernels/rmsnorm/rmsnorm.h"
#include "kernels/rope/rope.h"
#include "kernels/softmax/softmax.h"
#include "kernels/swiglu/swiglu.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kTokens = 512;

// Times run(fn) for each supported row of `table`; `bytes` are read and written per run.
template <typename Fn, typename Run>
void Measure(const char* op, absl::Span<const Variant<Fn>> table, double bytes, Run run) {
  double reference = 0;
  for (const Variant<Fn>& variant : table) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    const double seconds = BestSeconds(5, [&] { run(variant.fn); });
    if (variant.isa == CpuIsa::kReference) reference = seconds;
    std::printf("%-12s %-10s %9.3f ms  %7.2f GB/s  %5.1f x reference\n", op,
                std::string(variant.name).c_str(), seconds * 1e3, bytes / seconds / 1e9,
                reference / seconds);
  }
}

int Main() {
  std::printf("%s, 1 thread\n", GetCpuInfo().model_name.c_str());
  constexpr int64_t kHidden = 1024, kIntermediate = 3072, kHeads = 16, kHeadDim = 128;
  constexpr int64_t kVocab = 151936, kLogitRows = 8;
  {
    std::vector<float> x(kTokens * kHidden, 0.5f), weight(kHidden, 1.0f), y(x.size());
    const RmsNormArgs args{.x = x.data(),
                           .x_stride = kHidden,
                           .weight = weight.data(),
                           .y = y.data(),
                           .y_stride = kHidden,
                           .num_rows = kTokens,
                           .dim = kHidden};
    Measure("rmsnorm", RmsNormVariants(), 8.0 * kTokens * kHidden,
            [&](RmsNormFn fn) { fn(args, nullptr, nullptr, 0, 0, kTokens); });
  }
  {
    std::vector<float> x(kTokens * kHeads * kHeadDim, 0.5f), cos(kTokens * kHeadDim / 2, 0.8f);
    std::vector<float> sin(cos.size(), 0.6f);
    const RopeArgs args{.x = x.data(),
                        .token_stride = kHeads * kHeadDim,
                        .head_stride = kHeadDim,
                        .num_tokens = kTokens,
                        .num_heads = kHeads,
                        .rotary_dim = kHeadDim,
                        .cos = cos.data(),
                        .sin = sin.data()};
    Measure("rope", RopeVariants(), 8.0 * static_cast<double>(x.size()),
            [&](RopeFn fn) { fn(args, 0, kTokens); });
  }
  {
    std::vector<float> x(kTokens * 2 * kIntermediate, 0.5f), y(kTokens * kIntermediate);
    const SwigluArgs args{.gate = x.data(),
                          .up = x.data() + kIntermediate,
                          .in_stride = 2 * kIntermediate,
                          .y = y.data(),
                          .out_stride = kIntermediate,
                          .num_rows = kTokens,
                          .dim = kIntermediate};
    Measure("swiglu", SwigluVariants(), 12.0 * static_cast<double>(y.size()),
            [&](SwigluFn fn) { fn(args, 0, kTokens); });
  }
  {
    const std::vector<float> x(kLogitRows * kVocab, 0.5f);
    float sink = 0;
    Measure("logsumexp", LogSumExpVariants(), 4.0 * static_cast<double>(x.size()),
            [&](LogSumExpFn fn) {
              for (int64_t r = 0; r < kLogitRows; ++r) sink += fn(&x[r * kVocab], kVocab);
            });
    if (sink == 0) std::printf("impossible\n");  // keeps the calls
  }
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main() { return oneai::kernels::Main(); }
