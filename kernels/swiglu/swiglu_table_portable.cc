#include "kernels/swiglu/swiglu_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<SwigluFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, SwigluRef},
};

}  // namespace

absl::Span<const Variant<SwigluFn>> SwigluVariants() { return kVariants; }

}  // namespace oneai::kernels
