#include "kernels/gemm/gemm_variants.h"
#include "kernels/gemm/round_rows_loop.h"

namespace oneai::kernels {

void RoundRowsAvx512(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end) {
  RoundRowsLoop<CpuIsa::kAvx512>(args, row_begin, row_end);
}

}  // namespace oneai::kernels
