// Exp() of simd_exp.h over a row, one function per vector type; n is a multiple of 16.
#pragma once

#include <cstdint>

namespace oneai::kernels {

void ExpRowAvx2(const float* x, float* y, int64_t n);
void ExpRowAvx512(const float* x, float* y, int64_t n);

}  // namespace oneai::kernels
