// The functions behind SwigluVariants().
#pragma once

#include "kernels/swiglu/swiglu.h"

namespace oneai::kernels {

void SwigluRef(const SwigluArgs& args, int64_t row_begin, int64_t row_end);
void SwigluAvx2(const SwigluArgs& args, int64_t row_begin, int64_t row_end);
void SwigluAvx512(const SwigluArgs& args, int64_t row_begin, int64_t row_end);

}  // namespace oneai::kernels
