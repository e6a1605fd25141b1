#include "kernels/delta_net/delta_net_variants.h"

namespace oneai::kernels {

absl::Span<const Variant<DeltaNetFns>> DeltaNetVariants() {
  static const Variant<DeltaNetFns> kVariants[] = {
      {"reference", CpuIsa::kReference, AnyCpu, {CausalConvRef, DeltaRuleRef, GatedNormRef}},
  };
  return kVariants;
}

}  // namespace oneai::kernels
