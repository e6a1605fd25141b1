// The functions behind RopeVariants().
#pragma once

#include "kernels/rope/rope.h"

namespace oneai::kernels {

void RopeRef(const RopeArgs& args, int64_t token_begin, int64_t token_end);
void RopeAvx2(const RopeArgs& args, int64_t token_begin, int64_t token_end);
void RopeAvx512(const RopeArgs& args, int64_t token_begin, int64_t token_end);

}  // namespace oneai::kernels
