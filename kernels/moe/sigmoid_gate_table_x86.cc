#include "kernels/moe/sigmoid_gate.h"

namespace oneai::kernels {
namespace {

constexpr Variant<SigmoidGateFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, SigmoidGateRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, SigmoidGateAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, SigmoidGateAvx512},
};

}  // namespace

absl::Span<const Variant<SigmoidGateFn>> SigmoidGateVariants() { return kVariants; }

}  // namespace oneai::kernels
