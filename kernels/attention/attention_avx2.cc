#include "kernels/attention/attention_simd.h"
#include "kernels/attention/attention_variants.h"
#include "kernels/cpu/simd_avx2.h"

namespace oneai::kernels {

void AttentionAvx2(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  AttentionTiles<Avx2>::Run(args, task, scratch);
}

}  // namespace oneai::kernels
