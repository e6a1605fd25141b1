#include "kernels/attention/attention_simd.h"
#include "kernels/attention/attention_variants.h"
#include "kernels/cpu/simd_avx512.h"

namespace oneai::kernels {

void AttentionAvx512(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  AttentionTiles<Avx512>::Run(args, task, scratch);
}

}  // namespace oneai::kernels
