// Rows of a table by id.
#pragma once

#include <cstdint>

#include "kernels/cpu/bfloat16.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// y[t] = table[ids[t]], widened to float32.
//   table  [num_ids, dim] of `dtype`, row-major without gaps; needs no alignment
//   ids    [num_tokens] int32, each in [0, num_ids) (the caller has checked)
//   y      [num_tokens, dim] float32, rows `y_stride` elements apart
struct EmbeddingArgs {
  const void* table = nullptr;
  Dtype dtype = Dtype::kBFloat16;
  const int32_t* ids = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t num_tokens = 0;
  int64_t dim = 0;
};
void Embedding(const EmbeddingArgs& args, KernelContext& ctx);

}  // namespace oneai::kernels
