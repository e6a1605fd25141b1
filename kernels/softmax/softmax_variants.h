// The functions behind LogSumExpVariants().
#pragma once

#include "kernels/softmax/softmax.h"

namespace oneai::kernels {

float LogSumExpRef(const float* row, int64_t vocab);
float LogSumExpAvx2(const float* row, int64_t vocab);
float LogSumExpAvx512(const float* row, int64_t vocab);

}  // namespace oneai::kernels
