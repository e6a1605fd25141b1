#include "kernels/rmsnorm/rmsnorm_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<RmsNormFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RmsNormRef},
};

}  // namespace

absl::Span<const Variant<RmsNormFn>> RmsNormVariants() { return kVariants; }

}  // namespace oneai::kernels
