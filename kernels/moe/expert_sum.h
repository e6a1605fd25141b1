// Rows in and out of an expert.
#pragma once

#include <cstdint>

#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// y[r] = x[token[r]] for `num_rows` rows of `dim` elements.
struct GatherRowsArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* token = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t num_rows = 0;
  int64_t dim = 0;
};
void GatherRows(const GatherRowsArgs& args, KernelContext& ctx);

// y[token[r]] += weight[r] * x[r], in the order of rows: a token may have several.
struct ScatterAddArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* token = nullptr;
  const float* weight = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t num_rows = 0;
  int64_t dim = 0;
};
void ScatterAdd(const ScatterAddArgs& args, KernelContext& ctx);

// x[r] *= sigmoid(gate[r * gate_stride]): the shared expert.
void ScaleBySigmoid(float* x, int64_t x_stride, const float* gate, int64_t gate_stride,
                    int64_t num_rows, int64_t dim);

}  // namespace oneai::kernels
