// File: models/ops/cpu_lora.h
//
// LoRA adapters in serving: beside every matrix W of the base model, rows of a batch that belong to
// an adapter add scale * B (A x). Source: arXiv:2106.09685; adapters mixed in one batch as in
// arXiv:2310.18547 (Punica).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/gemm/packed_matrix.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::models {

// An adapter's change of one packed matrix, which may hold several matrices of the checkpoint on
// top of each other.
struct CpuLoraDelta {
  // Rows [out_begin, out_begin + b.n()) of the result take b times some of a's outputs.
  struct Block {
    kernels::PackedMatrix b;  // [rows, rank], times scale
    int64_t rank_begin = 0;   // first of a's outputs
    int64_t out_begin = 0;
  };
  kernels::PackedMatrix a;  // [ranks of all modules, in]
  std::vector<Block> blocks;
};

// An adapter as the ops read it: a change, or none, per site (CpuOps::Linear::site).
struct CpuLora {
  std::vector<CpuLoraDelta> sites;
  int64_t bytes = 0;
};

// Applies adapters to the results of matrix products. Rows of one adapter are taken together, in
// their order; each row's sum is formed in an order that depends on nothing else, so its bits are
// the same alone and mixed. Buffers grow and are reused. Thread-compatible.
class CpuLoraApplier {
 public:
  explicit CpuLoraApplier(kernels::KernelContext& context) : context_(context) {}

  // y [num_rows, ...] += the change at `site` of each row's adapter. `adapters` [num_rows], null
  // for the base model; x [num_rows, in].
  void Add(int32_t site, const float* x, int64_t x_stride,
           absl::Span<const CpuLora* const> adapters, float* y, int64_t y_stride);

 private:
  void AddOne(const CpuLoraDelta& delta, const float* x, int64_t x_stride, float* y,
              int64_t y_stride);

  kernels::KernelContext& context_;
  std::vector<const CpuLora*> seen_;
  std::vector<int64_t> rows_;  // of the adapter at hand
  std::vector<float> gathered_, low_, change_;
};

}  // namespace oneai::models
