// The functions behind the headers of this folder, one set per instruction set.
#pragma once

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"
#include "kernels/delta_net/causal_conv.h"
#include "kernels/delta_net/delta_rule.h"
#include "kernels/delta_net/gated_norm.h"

namespace oneai::kernels {

// Channels that a thread of the convolution takes at least.
inline constexpr int64_t kConvChannelsPerItem = 64;

// One thread's part of each op.
struct DeltaNetFns {
  // Channels [begin, end) of every run.
  void (*causal_conv)(const CausalConvArgs& args, int64_t channel_begin, int64_t channel_end);
  // Items [begin, end) of num_value_heads * num_runs, head by head: a long run among
  // short ones is then shared by all threads.
  void (*delta_rule)(const DeltaRuleArgs& args, int64_t item_begin, int64_t item_end);
  // Tokens [begin, end).
  void (*gated_norm)(const GatedRmsNormArgs& args, int64_t token_begin, int64_t token_end);
};

absl::Span<const Variant<DeltaNetFns>> DeltaNetVariants();

void CausalConvRef(const CausalConvArgs& args, int64_t channel_begin, int64_t channel_end);
void DeltaRuleRef(const DeltaRuleArgs& args, int64_t item_begin, int64_t item_end);
void GatedNormRef(const GatedRmsNormArgs& args, int64_t token_begin, int64_t token_end);

extern const DeltaNetFns kDeltaNetAvx2;
extern const DeltaNetFns kDeltaNetAvx512;

}  // namespace oneai::kernels
