#include "models/ops/cpu_ops.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gemm/gemm.h"
#include "kernels/rmsnorm/rmsnorm.h"
#include "kernels/rope/rope.h"
#include "kernels/swiglu/swiglu.h"

namespace oneai::models {
namespace {

// Tokens of the gated MLP that are computed together: the inner activations (two times
// intermediate_size wide) are the step's largest tensor, and a tile of them stays in the outer
// caches while the weights still are read rarely.
constexpr int64_t kMlpTile = 512;

kernels::RmsNormArgs NormArgs(const float* x, float* y, int64_t num_rows,
                              const std::vector<float>& weight, double epsilon) {
  const int64_t dim = static_cast<int64_t>(weight.size());
  return {.x = x,
          .x_stride = dim,
          .weight = weight.data(),
          .y = y,
          .y_stride = dim,
          .num_rows = num_rows,
          .dim = dim,
          .epsilon = static_cast<float>(epsilon)};
}

}  // namespace

CpuOps::CpuOps(const ModelConfig& config, kernels::KernelContext& context)
    : config_(config),
      context_(context),
      rope_(ComputeRopeFrequencies(config.rope, config.head_dim)) {}

CpuTensor CpuOps::Rows(std::vector<float>& buffer, int64_t num_rows, int64_t width) {
  const auto elements = static_cast<size_t>(num_rows * width);
  if (buffer.size() < elements) buffer.resize(elements);
  return {buffer.data(), width};
}

void CpuOps::Bind(const CpuBatch& batch) {
  batch_ = batch;
  const int64_t half = config_.head_dim / 2;
  const Tensor cos = Rows(cos_, batch.num_tokens(), half),
               sin = Rows(sin_, batch.num_tokens(), half);
  kernels::RopeCosSin(batch.positions.data(), batch.num_tokens(), rope_.inv_freq.data(),
                      config_.head_dim, rope_.attention_factor, cos.data, sin.data);
}

CpuTensor CpuOps::Embed(const Embedding& table) {
  const Tensor x = Rows(residual_, batch_.num_tokens(), config_.hidden_size);
  kernels::Embedding({.table = table.rows,
                      .dtype = table.dtype,
                      .ids = batch_.tokens.data(),
                      .y = x.data,
                      .y_stride = x.stride,
                      .num_tokens = batch_.num_tokens(),
                      .dim = config_.hidden_size},
                     context_);
  return x;
}

CpuTensor CpuOps::Norm(const Tensor& x, const Vector& weight) {
  const Tensor y = Rows(normed_, batch_.num_tokens(), config_.hidden_size);
  kernels::RmsNorm(NormArgs(x.data, y.data, batch_.num_tokens(), weight, config_.rms_norm_eps),
                   context_);
  return y;
}

CpuTensor CpuOps::AddNorm(Tensor& x, const Tensor& delta, const Vector& weight) {
  const Tensor y = Rows(normed_, batch_.num_tokens(), config_.hidden_size);
  kernels::AddRmsNorm(x.data, delta.data, delta.stride,
                      NormArgs(x.data, y.data, batch_.num_tokens(), weight, config_.rms_norm_eps),
                      context_);
  return y;
}

Qkv<CpuTensor> CpuOps::ProjectQkv(const Tensor& x, const Linear& q, const Linear& k,
                                  const Linear& v) {
  const int64_t num_tokens = batch_.num_tokens();
  const Qkv<Tensor> qkv = {Rows(q_, num_tokens, q.weight.n()), Rows(k_, num_tokens, k.weight.n()),
                           Rows(v_, num_tokens, v.weight.n())};
  Apply(x, num_tokens, q, qkv.q.data);
  Apply(x, num_tokens, k, qkv.k.data);
  Apply(x, num_tokens, v, qkv.v.data);
  return qkv;
}

void CpuOps::QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k) {
  const int64_t num_tokens = batch_.num_tokens();
  const double epsilon = config_.rms_norm_eps;
  kernels::RmsNorm(NormArgs(qkv.q.data, qkv.q.data, num_tokens * config_.num_heads, q, epsilon),
                   context_);
  kernels::RmsNorm(NormArgs(qkv.k.data, qkv.k.data, num_tokens * config_.num_kv_heads, k, epsilon),
                   context_);
}

void CpuOps::Rope(Qkv<Tensor>& qkv) {
  for (const Tensor& x : {qkv.q, qkv.k}) {
    kernels::Rope({.x = x.data,
                   .token_stride = x.stride,
                   .head_stride = config_.head_dim,
                   .num_tokens = batch_.num_tokens(),
                   .num_heads = x.stride / config_.head_dim,
                   .rotary_dim = config_.head_dim,
                   .cos = cos_.data(),
                   .sin = sin_.data()},
                  context_);
  }
}

CpuTensor CpuOps::Attention(int layer, const Qkv<Tensor>& qkv, int64_t window) {
  const kernels::KvCacheView& cache = batch_.layers[layer];
  kernels::WriteKv({.k = qkv.k.data,
                    .v = qkv.v.data,
                    .token_stride = qkv.k.stride,
                    .slot = batch_.slots.data(),
                    .num_tokens = batch_.num_tokens(),
                    .cache = cache},
                   context_);
  const Tensor out = Rows(attended_, batch_.num_tokens(), qkv.q.stride);
  kernels::Attention({.q = qkv.q.data,
                      .q_stride = qkv.q.stride,
                      .out = out.data,
                      .out_stride = out.stride,
                      .cache = cache,
                      .block_table = batch_.block_table.data(),
                      .block_table_stride = batch_.block_table_stride,
                      .seq_start = batch_.seq_start.data(),
                      .context_len = batch_.context_len.data(),
                      .num_sequences = batch_.num_sequences(),
                      .num_heads = config_.num_heads,
                      .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                      .window = window},
                     context_);
  return out;
}

CpuTensor CpuOps::Project(const Tensor& x, const Linear& linear) {
  const Tensor y = Rows(projected_, batch_.num_tokens(), linear.weight.n());
  Apply(x, batch_.num_tokens(), linear, y.data);
  return y;
}

CpuTensor CpuOps::GatedMlp(const Tensor& x, const GateUp& gate_up, const Linear& down) {
  const int64_t num_tokens = batch_.num_tokens(), inner = config_.intermediate_size;
  const Tensor y = Rows(mlp_, num_tokens, config_.hidden_size);
  const Tensor both = Rows(gate_up_, std::min(num_tokens, kMlpTile), 2 * inner);
  for (int64_t begin = 0; begin < num_tokens; begin += kMlpTile) {
    const int64_t rows = std::min(kMlpTile, num_tokens - begin);
    Multiply(x.data + begin * x.stride, x.stride, rows, gate_up.fused, {}, both.data);
    kernels::Swiglu({.gate = both.data,
                     .up = both.data + inner,
                     .in_stride = both.stride,
                     .y = both.data,
                     .out_stride = both.stride,
                     .num_rows = rows,
                     .dim = inner},
                    context_);
    Multiply(both.data, both.stride, rows, down.weight, down.bias, y.data + begin * y.stride);
  }
  return y;
}

void CpuOps::Apply(const Tensor& x, int64_t num_rows, const Linear& linear, float* y) {
  Multiply(x.data, x.stride, num_rows, linear.weight, linear.bias, y);
}

void CpuOps::Multiply(const float* x, int64_t x_stride, int64_t num_rows,
                      const kernels::PackedMatrix& w, const std::vector<float>& bias, float* y) {
  kernels::Gemm({.x = x,
                 .x_stride = x_stride,
                 .w = &w,
                 .bias = bias.empty() ? nullptr : bias.data(),
                 .y = y,
                 .y_stride = w.n(),
                 .m = num_rows},
                context_);
}

}  // namespace oneai::models
