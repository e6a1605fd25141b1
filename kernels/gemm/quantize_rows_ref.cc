#include "kernels/gemm/gemm_variants.h"
#include "kernels/gemm/quantize_rows_loop.h"

namespace oneai::kernels {

void QuantizeRowsRef(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end) {
  QuantizeRowsLoop<CpuIsa::kReference>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
