#include "kernels/attention/attention_float_unit.h"
#include "kernels/attention/attention_pass.h"
#include "kernels/attention/attention_variants.h"
#include "kernels/attention/split_avx2.h"

namespace oneai::kernels {

void AttentionAvx2(const AttentionArgs& args, const AttentionTask& task, std::byte* scratch) {
  AttentionPass<FloatUnit<SplitAvx2>>::Run(args, task, scratch);
}

}  // namespace oneai::kernels
