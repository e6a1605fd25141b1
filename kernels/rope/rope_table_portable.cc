#include "kernels/rope/rope_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<RopeFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RopeRef},
};

}  // namespace

absl::Span<const Variant<RopeFn>> RopeVariants() { return kVariants; }

}  // namespace oneai::kernels
