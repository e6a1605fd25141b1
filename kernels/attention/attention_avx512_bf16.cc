#include "kernels/attention/attention_bf16_unit.h"
#include "kernels/attention/attention_pass.h"
#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {

void AttentionAvx512Bf16(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  if (args.cache.format == KvCacheFormat::kF32) return AttentionAvx512(args, task, scratch);
  AttentionPass<Bf16Unit>::Run(args, task, scratch);
}

}  // namespace oneai::kernels
