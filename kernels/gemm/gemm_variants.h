// The functions behind GemmVariants(). Each computes the rows and panels of one task.
#pragma once

#include "kernels/gemm/gemm.h"

namespace oneai::kernels {

void GemmRefBf16(const GemmTask& task);
void GemmRefF32(const GemmTask& task);

}  // namespace oneai::kernels
