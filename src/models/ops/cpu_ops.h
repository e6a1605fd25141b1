// File: models/ops/cpu_ops.h
//
// The Ops of serving: kernels/ over a paged KV cache. Activations are float32; matrix products are
// in the dtype the weights were packed in. Every kernel computes a row in an order that depends on
// nothing else in the batch, so a token's result has the same bits alone, in a mixed batch and in a
// prefill cut anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/attention/kv_cache_view.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/gemm/packed_matrix.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/ops/ops.h"
#include "models/ops/rope_frequencies.h"

namespace oneai::models {

// One ragged step as the kernels read it: sequences one after the other, T tokens in all. Borrowed
// by CpuOps.
struct CpuBatch {
  absl::Span<const int32_t> tokens;     // [T], each in the vocabulary
  absl::Span<const int32_t> positions;  // [T]
  absl::Span<const int64_t> slots;      // [T] where each token's key and value go in the cache
  absl::Span<const int32_t> seq_start;  // [num_sequences + 1]
  absl::Span<const int32_t>
      context_len;  // [num_sequences] tokens in the cache, this step's included
  absl::Span<const int32_t> block_table;  // [num_sequences, block_table_stride]
  int64_t block_table_stride = 0;
  absl::Span<const kernels::KvCacheView> layers;  // [num_layers]

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(context_len.size()); }
};

// Rows of float32, `stride` elements apart, in a buffer of the CpuOps that made it.
struct CpuTensor {
  float* data = nullptr;
  int64_t stride = 0;
};

// Thread-compatible. Owns one buffer per op, which grow to the largest step seen and are then
// reused, so a steady workload does not allocate. The inputs of Bind are trusted: CpuModel has
// checked them.
class CpuOps {
 public:
  using Tensor = CpuTensor;
  using Vector = std::vector<float>;
  struct Embedding {
    const void* rows = nullptr;  // [vocab_size, hidden_size], borrowed
    kernels::Dtype dtype = kernels::Dtype::kBFloat16;
  };
  struct Linear {
    kernels::PackedMatrix weight;
    std::vector<float> bias;  // empty: none
  };
  struct GateUp {
    kernels::PackedMatrix fused;  // gate rows, then up rows
  };

  // Borrows both for its lifetime.
  CpuOps(const ModelConfig& config, kernels::KernelContext& context);

  // Starts a step of at least one token.
  void Bind(const CpuBatch& batch);

  Tensor Embed(const Embedding& table);
  Tensor Norm(const Tensor& x, const Vector& weight);
  Tensor AddNorm(Tensor& x, const Tensor& delta, const Vector& weight);
  Qkv<Tensor> ProjectQkv(const Tensor& x, const Linear& q, const Linear& k, const Linear& v);
  void QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k);
  void Rope(Qkv<Tensor>& qkv);
  Tensor Attention(int layer, const Qkv<Tensor>& qkv, int64_t window);
  Tensor Project(const Tensor& x, const Linear& linear);
  Tensor GatedMlp(const Tensor& x, const GateUp& gate_up, const Linear& down);

  // y [num_rows, out] = rows of x through `linear`; y's rows lie without gaps.
  void Apply(const Tensor& x, int64_t num_rows, const Linear& linear, float* y);

 private:
  // At least num_rows x width elements as a tensor.
  static Tensor Rows(std::vector<float>& buffer, int64_t num_rows, int64_t width);
  void Multiply(const float* x, int64_t x_stride, int64_t num_rows, const kernels::PackedMatrix& w,
                const std::vector<float>& bias, float* y);

  const ModelConfig& config_;
  kernels::KernelContext& context_;
  const RopeFrequencies rope_;
  CpuBatch batch_;
  std::vector<float> cos_, sin_;  // [T, head_dim / 2]
  std::vector<float> residual_, normed_, q_, k_, v_, attended_, projected_, mlp_, gate_up_;
};

static_assert(Ops<CpuOps>);

}  // namespace oneai::models
