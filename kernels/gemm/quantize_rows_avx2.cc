#include "kernels/gemm/gemm_variants.h"
#include "kernels/gemm/quantize_rows_loop.h"

namespace oneai::kernels {

void QuantizeRowsAvx2(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end) {
  QuantizeRowsLoop<CpuIsa::kAvx2>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
