#include "kernels/swiglu/swiglu_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<SwigluFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, SwigluRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, SwigluAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, SwigluAvx512},
};

}  // namespace

absl::Span<const Variant<SwigluFn>> SwigluVariants() { return kVariants; }

}  // namespace oneai::kernels
