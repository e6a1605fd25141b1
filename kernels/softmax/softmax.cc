#include "kernels/softmax/softmax.h"

namespace oneai::kernels {
namespace {

const Variant<LogSumExpFn>& Picked() {
  static const Variant<LogSumExpFn>& variant = PickVariant(LogSumExpVariants(), MaxIsa());
  return variant;
}

}  // namespace

void LogSumExp(const LogitsView& x, float* lse, KernelContext& ctx) {
  const LogSumExpFn log_sum_exp = Picked().fn;
  ctx.threads().ParallelFor(x.num_rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      lse[row] = log_sum_exp(x.logits + row * x.stride, x.vocab);
    }
  });
}

void LogSoftmax(const LogitsView& x, float* out, int64_t out_stride, KernelContext& ctx) {
  const LogSumExpFn log_sum_exp = Picked().fn;
  ctx.threads().ParallelFor(x.num_rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const float* in = x.logits + row * x.stride;
      const float lse = log_sum_exp(in, x.vocab);
      float* to = out + row * out_stride;
      for (int64_t i = 0; i < x.vocab; ++i) to[i] = in[i] - lse;
    }
  });
}

void CrossEntropy(const LogitsView& x, const int64_t* label, float* loss, KernelContext& ctx) {
  const LogSumExpFn log_sum_exp = Picked().fn;
  ctx.threads().ParallelFor(x.num_rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const float* in = x.logits + row * x.stride;
      loss[row] = label[row] == kIgnoreLabel ? 0.0f : log_sum_exp(in, x.vocab) - in[label[row]];
    }
  });
}

}  // namespace oneai::kernels
