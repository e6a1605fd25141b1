#include "kernels/rmsnorm/rmsnorm_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<RmsNormFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RmsNormRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, RmsNormAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, RmsNormAvx512},
};

}  // namespace

absl::Span<const Variant<RmsNormFn>> RmsNormVariants() { return kVariants; }

}  // namespace oneai::kernels
