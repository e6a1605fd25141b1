// The functions behind the dispatch tables. Each computes the rows and panels of one task.
#pragma once

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {

void GemmRefBf16(const GemmTask& task);
void GemmRefF32(const GemmTask& task);
void GemmAvx2Bf16(const GemmTask& task);
void GemmAvx2F32(const GemmTask& task);
void GemmAvx512Bf16(const GemmTask& task);
void GemmAvx512F32(const GemmTask& task);
void GemmAmxBf16(const GemmTask& task);

void RoundRowsRef(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);
void RoundRowsAvx2(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);
void RoundRowsAvx512(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);

}  // namespace oneai::kernels
