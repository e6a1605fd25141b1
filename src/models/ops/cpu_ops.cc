#include "models/ops/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/attention/attention.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gemm/gemm.h"
#include "kernels/moe/sigmoid_gate.h"
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

// Below this many tokens a loop over them costs less than telling other threads about it.
constexpr int64_t kTokensPerLoop = 8;

template <typename Body>
void ForTokens(int64_t num_tokens, kernels::KernelContext& context, const Body& body) {
  if (num_tokens < kTokensPerLoop) {
    body(0, num_tokens, 0);
  } else {
    context.threads().ParallelFor(num_tokens, body);
  }
}

}  // namespace

CpuOps::CpuOps(const ModelConfig& config, kernels::KernelContext& context)
    : config_(config),
      context_(context),
      rope_(config),
      lora_(context),
      delta_net_(config, context) {
  int num_attention = 0, num_linear = 0;
  for (const LayerType type : config.layer_types)
    memory_index_.push_back(type == LayerType::kLinearAttention ? num_linear++ : num_attention++);
  memory_index_.push_back(num_attention);  // of the draft layer
}

CpuTensor CpuOps::Rows(std::vector<float>& buffer, int64_t num_rows, int64_t width) {
  const auto elements = static_cast<size_t>(num_rows * width);
  if (buffer.size() < elements) buffer.resize(elements);
  return {buffer.data(), width};
}

void CpuOps::Bind(const CpuBatch& batch) {
  batch_ = batch;
  rope_.Compute(batch.positions, batch.seq_start, batch.prompt_tokens);
}

CpuTensor CpuOps::Embed(const Embedding& table) {
  const OpTimer timer = Time(OpKind::kEmbed);
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
  const OpTimer timer = Time(OpKind::kNorm);
  const Tensor y = Rows(normed_, batch_.num_tokens(), config_.hidden_size);
  kernels::RmsNorm(NormArgs(x.data, y.data, batch_.num_tokens(), weight, config_.rms_norm_eps),
                   context_);
  return y;
}

CpuTensor CpuOps::AddNorm(Tensor& x, const Tensor& delta, const Vector& weight) {
  const OpTimer timer = Time(OpKind::kNorm);
  const Tensor y = Rows(normed_, batch_.num_tokens(), config_.hidden_size);
  kernels::AddRmsNorm(x.data, delta.data, delta.stride,
                      NormArgs(x.data, y.data, batch_.num_tokens(), weight, config_.rms_norm_eps),
                      context_);
  return y;
}

Qkv<CpuTensor> CpuOps::ProjectQkv(const Tensor& x, const StackedLinear& qkv) {
  const OpTimer timer = Time(OpKind::kQkv);
  const int64_t width = qkv.weight.n(), q_width = config_.num_heads * config_.head_dim,
                kv_width = config_.num_kv_heads * config_.head_dim;
  const Tensor all = Rows(qkv_, batch_.num_tokens(), width);
  Apply(x, batch_.num_tokens(), qkv, batch_.adapters, all.data);
  float* k = all.data + q_width;
  return {.q = all,
          .k = {k, width},
          .v = {k + kv_width, width},
          .gate = {config_.attention_gate ? k + 2 * kv_width : nullptr, width}};
}

void CpuOps::QkNorm(Qkv<Tensor>& /*qkv*/, const Vector& q, const Vector& k) {
  head_steps_.q_norm = &q;
  head_steps_.k_norm = &k;
}

void CpuOps::Rope(Qkv<Tensor>& /*qkv*/) { head_steps_.rotates = true; }

void CpuOps::ScaleQueries(Qkv<Tensor>& /*qkv*/) { head_steps_.scales = true; }

void CpuOps::PrepareHeads(const Qkv<Tensor>& qkv, const kernels::KvCacheView& cache) {
  static const auto& norm = kernels::PickVariant(kernels::RmsNormVariants(), kernels::MaxIsa());
  static const auto& rope = kernels::PickVariant(kernels::RopeVariants(), kernels::MaxIsa());
  static const auto& write = kernels::PickVariant(kernels::WriteKvVariants(), kernels::MaxIsa());
  const OpTimer timer = Time(OpKind::kRotate);
  const HeadSteps steps = std::exchange(head_steps_, {});
  const auto norm_heads = [&](float* row, int64_t num_heads, const Vector& weight) {
    norm.fn(NormArgs(row, row, num_heads, weight, config_.rms_norm_eps), nullptr, nullptr, 0, 0,
            num_heads);
  };
  // k follows q in each row, so both are rotated in one pass.
  const kernels::RopeArgs rotation = {.x = qkv.q.data,
                                      .token_stride = qkv.q.stride,
                                      .head_stride = config_.head_dim,
                                      .num_tokens = batch_.num_tokens(),
                                      .num_heads = config_.num_heads + config_.num_kv_heads,
                                      .rotary_dim = rope_.rotary_dim(),
                                      .cos = rope_.cos(),
                                      .sin = rope_.sin()};
  const kernels::WriteKvArgs writing = {.k = qkv.k.data,
                                        .v = qkv.v.data,
                                        .token_stride = qkv.k.stride,
                                        .slot = batch_.slots.data(),
                                        .num_tokens = batch_.num_tokens(),
                                        .cache = cache};
  const int64_t q_width = config_.num_heads * config_.head_dim;
  const auto prepare = [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      float* const q = qkv.q.data + token * qkv.q.stride;
      if (steps.q_norm != nullptr) norm_heads(q, config_.num_heads, *steps.q_norm);
      if (steps.k_norm != nullptr) {
        norm_heads(qkv.k.data + token * qkv.k.stride, config_.num_kv_heads, *steps.k_norm);
      }
      if (steps.rotates) rope.fn(rotation, token, token + 1);
      const float scale = steps.scales ? rope_.query_scales()[token] : 1.0f;
      for (int64_t i = 0; scale != 1.0f && i < q_width; ++i) q[i] *= scale;
    }
    write.fn(writing, begin, end);
  };
  // A few tokens at a time, which stay in the second-level cache from step to step.
  constexpr int64_t kTokensAtOnce = 8;
  ForTokens(batch_.num_tokens(), context_, [&](int64_t begin, int64_t end, int) {
    for (; begin < end; begin += kTokensAtOnce)
      prepare(begin, std::min(end, begin + kTokensAtOnce));
  });
}

CpuTensor CpuOps::Attention(int layer, const Qkv<Tensor>& qkv, int64_t window) {
  const kernels::KvCacheView& cache = batch_.layers[memory_index_[layer]];
  PrepareHeads(qkv, cache);
  const OpTimer timer = Time(OpKind::kAttention);
  const Tensor out = Rows(attended_, batch_.num_tokens(), config_.num_heads * config_.head_dim);
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

void CpuOps::GateHeads(Tensor& x, const Qkv<Tensor>& qkv) {
  const OpTimer timer = Time(OpKind::kGate);
  kernels::SigmoidGate({.gate = qkv.gate.data,
                        .gate_stride = qkv.gate.stride,
                        .y = x.data,
                        .y_stride = x.stride,
                        .num_rows = batch_.num_tokens(),
                        .dim = config_.num_heads * config_.head_dim},
                       context_);
}

CpuTensor CpuOps::Project(const Tensor& x, const Linear& linear) {
  const OpTimer timer = Time(OpKind::kOut);
  const Tensor y = Rows(projected_, batch_.num_tokens(), linear.weight.n());
  Apply(x, batch_.num_tokens(), linear, batch_.adapters, y.data);
  return y;
}

CpuTensor CpuOps::GatedMlp(const Tensor& x, const StackedLinear& gate_up, const Linear& down) {
  const Tensor y = Rows(mlp_, batch_.num_tokens(), config_.hidden_size);
  GatedMlpRows(x, batch_.num_tokens(), gate_up, down, batch_.adapters, y);
  return y;
}

void CpuOps::GatedMlpRows(const Tensor& x, int64_t num_rows, const Linear& gate_up,
                          const Linear& down, absl::Span<const CpuLora* const> adapters,
                          const Tensor& y) {
  const int64_t inner = gate_up.weight.n() / 2;
  const Tensor both = Rows(gate_up_, std::min(num_rows, kMlpTile), 2 * inner);
  for (int64_t begin = 0; begin < num_rows; begin += kMlpTile) {
    const int64_t rows = std::min(kMlpTile, num_rows - begin);
    const absl::Span<const CpuLora* const> tile =
        adapters.empty() ? adapters : adapters.subspan(begin, rows);
    {
      const OpTimer timer = Time(OpKind::kGateUp);
      Apply({x.data + begin * x.stride, x.stride}, rows, gate_up, tile, both.data);
    }
    Gate(both, rows, inner);
    const OpTimer timer = Time(OpKind::kDown);
    Apply(both, rows, down, tile, y.data + begin * y.stride);
  }
}

void CpuOps::Gate(const Tensor& both, int64_t num_rows, int64_t inner) {
  const OpTimer timer = Time(OpKind::kGate);
  kernels::Swiglu({.gate = both.data,
                   .up = both.data + inner,
                   .in_stride = both.stride,
                   .y = both.data,
                   .out_stride = both.stride,
                   .num_rows = num_rows,
                   .dim = inner},
                  context_);
}

CpuTensor CpuOps::FuseDraft(const Tensor& embedded, const Vector& embedding_norm,
                            const Tensor& hidden, const Vector& hidden_norm, const Linear& fc) {
  const int64_t num_tokens = batch_.num_tokens(), width = config_.hidden_size;
  const Tensor pair = Rows(draft_pair_, num_tokens, 2 * width);
  const auto norm = [&](const Tensor& x, const Vector& weight, float* y) {
    kernels::RmsNormArgs args = NormArgs(x.data, y, num_tokens, weight, config_.rms_norm_eps);
    args.x_stride = x.stride, args.y_stride = pair.stride;
    kernels::RmsNorm(args, context_);
  };
  norm(embedded, embedding_norm, pair.data);
  norm(hidden, hidden_norm, pair.data + width);
  const Tensor x = Rows(residual_, num_tokens, width);  // which held `embedded`
  Apply(pair, num_tokens, fc, {}, x.data);
  return x;
}

CpuTensor CpuOps::GatedDeltaNet(int layer, const Tensor& x, const DeltaNetWeights<CpuOps>& w) {
  const int64_t num_tokens = batch_.num_tokens();
  const Tensor qkvz = Rows(qkvz_, num_tokens, w.qkvz.weight.n());
  const Tensor ba = Rows(ba_, num_tokens, w.ba.weight.n());
  {
    const OpTimer timer = Time(OpKind::kQkv);
    // Both read x, and the second is too narrow for a loop of its own.
    const kernels::GemmArgs products[] = {ProductOf(x, num_tokens, w.qkvz, qkvz.data),
                                          ProductOf(x, num_tokens, w.ba, ba.data)};
    kernels::GemmAll(products, context_);
    AddAdapters(x, w.qkvz, batch_.adapters, qkvz.data);
    AddAdapters(x, w.ba, batch_.adapters, ba.data);
  }
  float* heads = nullptr;
  {
    const OpTimer timer = Time(OpKind::kDeltaNet);
    heads = delta_net_.Run(layer, qkvz.data, ba.data, {w.conv, w.a_log, w.dt_bias, w.norm},
                           {num_tokens, *batch_.recurrent, batch_.states[memory_index_[layer]]});
  }
  return Project({heads, config_.delta_net.value_width()}, w.out);
}

kernels::GemmArgs CpuOps::ProductOf(const Tensor& x, int64_t num_rows, const Linear& linear,
                                    float* y) {
  return {.x = x.data,
          .x_stride = x.stride,
          .w = &linear.weight,
          .bias = linear.bias.empty() ? nullptr : linear.bias.data(),
          .y = y,
          .y_stride = linear.weight.n(),
          .m = num_rows};
}

void CpuOps::AddAdapters(const Tensor& x, const Linear& linear,
                         absl::Span<const CpuLora* const> adapters, float* y) {
  if (!adapters.empty() && linear.site >= 0)
    lora_.Add(linear.site, x.data, x.stride, adapters, y, linear.weight.n());
}

void CpuOps::Apply(const Tensor& x, int64_t num_rows, const Linear& linear,
                   absl::Span<const CpuLora* const> adapters, float* y) {
  kernels::Gemm(ProductOf(x, num_rows, linear, y), context_);
  AddAdapters(x, linear, adapters, y);
}

}  // namespace oneai::models
