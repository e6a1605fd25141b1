// File: models/ops/cpu_ops.h
//
// The Ops of serving: kernels/ over a paged KV cache. Activations are float32; matrix products are
// in the format the weights were packed in. Every kernel computes a row in an order that depends on
// nothing else in the batch, so a token's result has the same bits alone, in a mixed batch and in a
// prefill cut anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/attention/kv_cache_view.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/delta_net/recurrent_state_view.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/packed_matrix.h"
#include "kernels/moe/expert_rows.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/ops/cpu_delta_net.h"
#include "models/ops/cpu_lora.h"
#include "models/ops/op_profile.h"
#include "models/ops/ops.h"
#include "models/ops/rope_table.h"

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
  absl::Span<const kernels::KvCacheView> layers;  // [layers that keep keys and values]
  absl::Span<const int64_t> prompt_tokens;        // [num_sequences]
  // [T], null for the base model. Empty: all of them.
  absl::Span<const CpuLora* const> adapters;
  // Models with linear attention only: what the sequences read and write of [linear layers].
  const RecurrentStep* recurrent = nullptr;
  absl::Span<const kernels::RecurrentStateView> states;

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
  // Norms are stored as what they multiply by: 1 + weight where they are zero-centred.
  using Vector = std::vector<float>;
  struct Embedding {
    const void* rows = nullptr;  // [vocab_size, hidden_size], borrowed
    kernels::Dtype dtype = kernels::Dtype::kBFloat16;
  };
  struct Linear {
    kernels::PackedMatrix weight;
    std::vector<float> bias;  // empty: none
    int32_t site = -1;        // its place in CpuLora::sites; -1: no adapter reaches it
  };
  using StackedLinear = Linear;
  struct Expert {
    Linear gate_up, down;
  };
  using Experts = std::vector<Expert>;

  // Borrows both for its lifetime.
  CpuOps(const ModelConfig& config, kernels::KernelContext& context);

  // Starts a step of at least one token.
  void Bind(const CpuBatch& batch);

  Tensor Embed(const Embedding& table);
  Tensor Norm(const Tensor& x, const Vector& weight);
  Tensor AddNorm(Tensor& x, const Tensor& delta, const Vector& weight);
  Qkv<Tensor> ProjectQkv(const Tensor& x, const StackedLinear& qkv);
  // These three take effect in Attention: one pass over the tokens does them all.
  void QkNorm(Qkv<Tensor>& qkv, const Vector& q, const Vector& k);
  void Rope(Qkv<Tensor>& qkv);
  void ScaleQueries(Qkv<Tensor>& qkv);
  Tensor Attention(int layer, const Qkv<Tensor>& qkv, int64_t window);
  void GateHeads(Tensor& x, const Qkv<Tensor>& qkv);
  Tensor Project(const Tensor& x, const Linear& linear);
  Tensor GatedMlp(const Tensor& x, const StackedLinear& gate_up, const Linear& down);
  Tensor SparseMlp(int layer, const Tensor& x, const SparseMlpWeights<CpuOps>& w);
  // The draft head's own step (models/qwen/mtp.h).
  Tensor FuseDraft(const Tensor& embedded, const Vector& embedding_norm, const Tensor& hidden,
                   const Vector& hidden_norm, const Linear& fc);
  Tensor GatedDeltaNet(int layer, const Tensor& x, const DeltaNetWeights<CpuOps>& w);

  // y [num_rows, out] = rows of x through `linear`, with `adapters` [num_rows] (empty: none); y's
  // rows lie without gaps.
  void Apply(const Tensor& x, int64_t num_rows, const Linear& linear,
             absl::Span<const CpuLora* const> adapters, float* y);

  // What the last SparseMlp and GatedDeltaNet did, for goldens.
  struct Routing {
    absl::Span<const float> logits;  // [T, logits_stride], the experts' first
    int64_t logits_stride = 0;
    absl::Span<const int32_t> experts;  // [T, experts_per_token]
    absl::Span<const float> weights;
  };
  Routing routing() const;
  const DeltaNetTrace& delta_net_trace() const { return delta_net_.trace(); }

  OpProfile& profile() { return profile_; }

 private:
  OpTimer Time(OpKind kind) { return OpTimer(profile_, kind, context_.threads()); }
  // At least num_rows x width elements as a tensor.
  static Tensor Rows(std::vector<float>& buffer, int64_t num_rows, int64_t width);
  // Apply's two parts.
  static kernels::GemmArgs ProductOf(const Tensor& x, int64_t num_rows, const Linear& linear,
                                     float* y);
  void AddAdapters(const Tensor& x, const Linear& linear, absl::Span<const CpuLora* const> adapters,
                   float* y);
  // y = down(silu(gate(x)) * up(x)) for some rows, in tiles. y's rows lie without gaps.
  void GatedMlpRows(const Tensor& x, int64_t num_rows, const Linear& gate_up, const Linear& down,
                    absl::Span<const CpuLora* const> adapters, const Tensor& y);
  // Everything between the projection of queries, keys and values and their attention, in one pass
  // over the tokens: the steps that were asked for since the last time, then keys and values into
  // the cache.
  void PrepareHeads(const Qkv<Tensor>& qkv, const kernels::KvCacheView& cache);
  // Rows of `both` hold gate and up; silu(gate) * up takes the gate's place.
  void Gate(const Tensor& both, int64_t num_rows, int64_t inner);
  void RouteTokens(const Tensor& x, const Linear& router);
  // Adds what the experts that were routed to make of x, by their weights, to y: many experts at a
  // time, or one, whose rows may have adapters.
  void AddExperts(const Tensor& x, const Experts& experts, const Tensor& y);
  void AddExpert(const Tensor& x, const kernels::ExpertRows::Expert& rows, const Expert& expert,
                 const Tensor& y);
  // Does so for the rows of expert_parts_, which are neighbours.
  void AddExpertParts(const Tensor& x, const Experts& experts, const Tensor& y);
  // y = each part's rows of x through that matrix of its expert.
  void ApplyToParts(const Tensor& x, const Experts& experts, Linear Expert::*linear,
                    const Tensor& y);

  const ModelConfig& config_;
  kernels::KernelContext& context_;
  RopeTable rope_;
  CpuLoraApplier lora_;
  CpuDeltaNet delta_net_;
  std::vector<int> memory_index_;  // of each layer among those of its kind, in cache or state
  CpuBatch batch_;
  OpProfile profile_;
  struct HeadSteps {
    const Vector* q_norm = nullptr;
    const Vector* k_norm = nullptr;
    bool rotates = false;
    bool scales = false;
  };
  HeadSteps head_steps_;
  std::vector<float> residual_, normed_, qkv_, attended_, projected_, mlp_, gate_up_;
  std::vector<float> qkvz_, ba_, draft_pair_;
  // Of SparseMlp.
  std::vector<float> router_logits_, routed_weights_, expert_in_, expert_out_;
  std::vector<int32_t> routed_experts_;
  kernels::ExpertRows expert_rows_;
  std::vector<kernels::ExpertRows::Expert> expert_parts_;  // that are computed together
  std::vector<kernels::GemmArgs> products_;
  std::vector<const CpuLora*> expert_adapters_;
};

static_assert(Ops<CpuOps>);

}  // namespace oneai::models
