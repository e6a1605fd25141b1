// File: models/ops/ops.h
//
// The vocabulary in which a forward pass is written. A model (models/qwen/forward.h) is a template
// on this concept; TorchOps carries autograd (training), CpuOps the paged KV cache (serving). An
// Ops object is bound to one ragged batch: its tokens, their positions, and which earlier tokens
// each of them may see.
#pragma once

#include <concepts>
#include <cstdint>

namespace oneai::models {

// Queries, keys and values on their way into attention.
template <typename Tensor>
struct Qkv {
  Tensor q;     // [num_tokens, num_heads, head_dim]
  Tensor k;     // [num_tokens, num_kv_heads, head_dim]
  Tensor v;     // [num_tokens, num_kv_heads, head_dim]
  Tensor gate;  // [num_tokens, num_heads, head_dim], only with attention_gate
};

// A layer of experts, of which each token passes a few.
template <typename O>
struct SparseMlpWeights {
  // [num_experts, hidden_size], and one more row with a shared expert: its gate.
  typename O::StackedLinear router;
  typename O::Experts experts;               // gated MLPs of expert_size
  typename O::StackedLinear shared_gate_up;  // only with a shared expert
  typename O::Linear shared_down;
};

// A Gated DeltaNet layer (arXiv:2412.06464), whatever way the checkpoint arranges its projections.
template <typename O>
struct DeltaNetWeights {
  // [2 key_width + 2 value_width, hidden_size]: queries, keys, values, output gates z, each
  // [heads, dim].
  typename O::StackedLinear qkvz;
  typename O::StackedLinear ba;  // [2 num_value_heads, hidden_size]: write strengths b, decays a
  typename O::Vector conv;       // [conv_width, conv_kernel], channels as in qkvz
  typename O::Vector a_log;      // [num_value_heads]
  typename O::Vector dt_bias;    // [num_value_heads]
  typename O::Vector norm;       // [value_dim], never zero-centred
  typename O::Linear out;        // [hidden_size, value_width]
};

// Types
//   Tensor         activations, [num_tokens, ...]. Valid until the op that made it is called again,
//                  which lets an implementation reuse one buffer per op.
//   Vector         a weight that is no matrix: of a norm, of DeltaNet
//   Linear         a matrix [out, in] with an optional bias [out]
//   StackedLinear  matrices of one input on top of each other, which an implementation may fuse
//   Experts        the gated MLPs of a sparse layer
//   Embedding      the token table [vocab_size, hidden_size]
//
// Ops; unless said otherwise the result is [num_tokens, hidden_size]
//   Embed(table)                the table's rows of the batch's tokens
//   Norm(x, weight)             RMSNorm over hidden_size; by 1 + weight with zero_centered_norms
//   AddNorm(x, delta, weight)   x += delta, then Norm(x, weight): a step of the residual stream
//   ProjectQkv(x, qkv)          the stacked projections q, k, v (and gate), cut into heads
//   QkNorm(qkv, q, k)           RMSNorm of every head of q and of k over head_dim, in place
//   Rope(qkv)                   rotates the first rotary_dim of q and k by their tokens' positions
//   ScaleQueries(qkv)           log-n: q *= max(1, log(position + 1) / log(trained_positions))
//   Attention(layer, qkv, w)    causal softmax attention within each sequence; w > 0 shows a token
//                               only the last w keys, its own included
//                               -> [num_tokens, num_heads * head_dim]
//   GateHeads(x, qkv)           x *= sigmoid(qkv.gate), in place; x as Attention returns it
//   Project(x, linear)          x W^T + bias -> [num_tokens, out]
//   GatedMlp(x, gate_up, down)  down(silu(gate(x)) * up(x)), gate the first half of gate_up's rows
//   SparseMlp(layer, x, w)      per token the sum of its experts' GatedMlp by their weights,
//   softmax
//                               over all experts in float32, of which the largest
//                               experts_per_token count (made to sum to 1 with normalize_weights);
//                               and sigmoid(shared gate) * shared expert
//   GatedDeltaNet(layer, x, w)  the linear-attention block, from normed input to output projection
template <typename O>
concept Ops = requires(O ops, typename O::Tensor& x, const typename O::Tensor& y,
                       Qkv<typename O::Tensor>& qkv, const typename O::Vector& vector,
                       const typename O::Linear& linear, const typename O::StackedLinear& stacked,
                       const typename O::Embedding& table, const SparseMlpWeights<O>& sparse,
                       const DeltaNetWeights<O>& delta_net, int layer, int64_t window) {
  { ops.Embed(table) } -> std::same_as<typename O::Tensor>;
  { ops.Norm(y, vector) } -> std::same_as<typename O::Tensor>;
  { ops.AddNorm(x, y, vector) } -> std::same_as<typename O::Tensor>;
  { ops.ProjectQkv(y, stacked) } -> std::same_as<Qkv<typename O::Tensor>>;
  { ops.QkNorm(qkv, vector, vector) } -> std::same_as<void>;
  { ops.Rope(qkv) } -> std::same_as<void>;
  { ops.ScaleQueries(qkv) } -> std::same_as<void>;
  { ops.Attention(layer, qkv, window) } -> std::same_as<typename O::Tensor>;
  { ops.GateHeads(x, qkv) } -> std::same_as<void>;
  { ops.Project(y, linear) } -> std::same_as<typename O::Tensor>;
  { ops.GatedMlp(y, stacked, linear) } -> std::same_as<typename O::Tensor>;
  { ops.SparseMlp(layer, y, sparse) } -> std::same_as<typename O::Tensor>;
  { ops.GatedDeltaNet(layer, y, delta_net) } -> std::same_as<typename O::Tensor>;
};

}  // namespace oneai::models
