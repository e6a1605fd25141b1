// The functions behind the dispatch tables. Each computes the rows and panels of one task.
#pragma once

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/quantize_rows.h"
#include "kernels/gemm/round_rows.h"

namespace oneai::kernels {

void GemmRefF32(const GemmTask& task);
void GemmRefBf16(const GemmTask& task);
void GemmRefInt(const GemmTask& task);  // int8 and int4
void GemmAvx2F32(const GemmTask& task);
void GemmAvx2Bf16(const GemmTask& task);
void GemmAvx2Int8(const GemmTask& task);
void GemmAvx2Int4(const GemmTask& task);
void GemmAvx512F32(const GemmTask& task);
void GemmAvx512Bf16(const GemmTask& task);
void GemmVnniInt8(const GemmTask& task);
void GemmVnniInt4(const GemmTask& task);
void GemmAmxBf16(const GemmTask& task);
void GemmAmxInt8(const GemmTask& task);
void GemmAmxInt4(const GemmTask& task);

void RoundRowsRef(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);
void RoundRowsAvx2(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);
void RoundRowsAvx512(const RoundRowsArgs& args, int64_t row_begin, int64_t row_end);

void QuantizeRowsRef(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end);
void QuantizeRowsAvx2(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end);
void QuantizeRowsAvx512(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end);

}  // namespace oneai::kernels
