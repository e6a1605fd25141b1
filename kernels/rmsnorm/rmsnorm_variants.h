// The functions behind RmsNormVariants().
#pragma once

#include "kernels/rmsnorm/rmsnorm.h"

namespace oneai::kernels {

void RmsNormRef(const RmsNormArgs& args, float* residual, const float* delta, int64_t delta_stride,
                int64_t row_begin, int64_t row_end);
void RmsNormAvx2(const RmsNormArgs& args, float* residual, const float* delta, int64_t delta_stride,
                 int64_t row_begin, int64_t row_end);
void RmsNormAvx512(const RmsNormArgs& args, float* residual, const float* delta,
                   int64_t delta_stride, int64_t row_begin, int64_t row_end);

}  // namespace oneai::kernels
