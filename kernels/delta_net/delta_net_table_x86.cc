#include "kernels/delta_net/delta_net_variants.h"

namespace oneai::kernels {

absl::Span<const Variant<DeltaNetFns>> DeltaNetVariants() {
  static const Variant<DeltaNetFns> kVariants[] = {
      {"reference", CpuIsa::kReference, AnyCpu, {CausalConvRef, DeltaRuleRef, GatedNormRef}},
      {"avx2", CpuIsa::kAvx2, HasAvx2, kDeltaNetAvx2},
      {"avx512", CpuIsa::kAvx512, HasAvx512, kDeltaNetAvx512},
  };
  return kVariants;
}

}  // namespace oneai::kernels
