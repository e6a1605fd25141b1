#include "kernels/rope/rope_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<RopeFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RopeRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, RopeAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, RopeAvx512},
};

}  // namespace

absl::Span<const Variant<RopeFn>> RopeVariants() { return kVariants; }

}  // namespace oneai::kernels
