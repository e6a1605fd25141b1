#include "kernels/cpu/simd_avx512.h"
#include "kernels/delta_net/causal_conv_simd.h"
#include "kernels/delta_net/delta_net_variants.h"
#include "kernels/delta_net/delta_rule_simd.h"
#include "kernels/delta_net/gated_norm_simd.h"

namespace oneai::kernels {

const DeltaNetFns kDeltaNetAvx512 = {CausalConvStrips<Avx512>::Run, DeltaRuleColumns<Avx512>::Run,
                                     GatedNormRows<Avx512>::Run};

}  // namespace oneai::kernels
