#include "kernels/softmax/softmax_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<LogSumExpFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, LogSumExpRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, LogSumExpAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, LogSumExpAvx512},
};

}  // namespace

absl::Span<const Variant<LogSumExpFn>> LogSumExpVariants() { return kVariants; }

}  // namespace oneai::kernels
