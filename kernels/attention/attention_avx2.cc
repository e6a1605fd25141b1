// Idea: a bf16 cache is multiplied in place, other formats are widened into a tile first.
// Bottleneck: the FMA units in prefill, reading the cache in decode. Measured:
// benchmarks/kernels/attention_bench.
#include "kernels/attention/attention_avx2_pairs.h"
#include "kernels/attention/attention_pass.h"
#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {

void AttentionAvx2(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  if (args.cache.format == KvCacheFormat::kBf16) {
    return AttentionPass<PairUnitAvx2>::Run(args, task, scratch);
  }
  AttentionPass<FloatUnit<SplitAvx2>>::Run(args, task, scratch);
}

}  // namespace oneai::kernels
