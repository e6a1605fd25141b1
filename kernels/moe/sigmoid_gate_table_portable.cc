#include "kernels/moe/sigmoid_gate.h"

namespace oneai::kernels {
namespace {

constexpr Variant<SigmoidGateFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, SigmoidGateRef},
};

}  // namespace

absl::Span<const Variant<SigmoidGateFn>> SigmoidGateVariants() { return kVariants; }

}  // namespace oneai::kernels
