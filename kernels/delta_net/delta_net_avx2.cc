#include "kernels/cpu/simd_avx2.h"
#include "kernels/delta_net/causal_conv_simd.h"
#include "kernels/delta_net/delta_net_variants.h"
#include "kernels/delta_net/delta_rule_simd.h"
#include "kernels/delta_net/gated_norm_simd.h"

namespace oneai::kernels {

const DeltaNetFns kDeltaNetAvx2 = {CausalConvStrips<Avx2>::Run, DeltaRuleColumns<Avx2>::Run,
                                   GatedNormRows<Avx2>::Run};

}  // namespace oneai::kernels
