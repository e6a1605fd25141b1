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
  Tensor q;  // [num_tokens, num_heads, head_dim]
  Tensor k;  // [num_tokens, num_kv_heads, head_dim]
  Tensor v;  // [num_tokens, num_kv_heads, head_dim]
};

// Types
//   Tensor     activations, [num_tokens, ...]. Valid until the op that made it is called again,
//              which lets an implementation reuse one buffer per op.
//   Vector     the weight of a norm
//   Linear     a matrix [out, in] with an optional bias [out]
//   GateUp     the two inner matrices of a gated MLP, which an implementation may fuse
//   Embedding  the token table [vocab_size, hidden_size]
//
// Ops; unless said otherwise the result is [num_tokens, hidden_size]
//   Embed(table)                the table's rows of the batch's tokens
//   Norm(x, weight)             RMSNorm over hidden_size
//   AddNorm(x, delta, weight)   x += delta, then Norm(x, weight): a step of the residual stream
//   ProjectQkv(x, q, k, v)      three linears, cut into heads
//   QkNorm(qkv, q, k)           RMSNorm of every head of q and of k over head_dim, in place
//   Rope(qkv)                   rotates q and k by their tokens' positions, in place
//   Attention(layer, qkv, w)    causal softmax attention within each sequence; w > 0 shows a token
//                               only the last w keys, its own included
//                               -> [num_tokens, num_heads * head_dim]
//   Project(x, linear)          x W^T + bias -> [num_tokens, out]
//   GatedMlp(x, gate_up, down)  down(silu(gate(x)) * up(x))
template <typename O>
concept Ops = requires(O ops, typename O::Tensor& x, const typename O::Tensor& y,
                       Qkv<typename O::Tensor>& qkv, const typename O::Vector& vector,
                       const typename O::Linear& linear, const typename O::GateUp& gate_up,
                       const typename O::Embedding& table, int layer, int64_t window) {
  { ops.Embed(table) } -> std::same_as<typename O::Tensor>;
  { ops.Norm(y, vector) } -> std::same_as<typename O::Tensor>;
  { ops.AddNorm(x, y, vector) } -> std::same_as<typename O::Tensor>;
  { ops.ProjectQkv(y, linear, linear, linear) } -> std::same_as<Qkv<typename O::Tensor>>;
  { ops.QkNorm(qkv, vector, vector) } -> std::same_as<void>;
  { ops.Rope(qkv) } -> std::same_as<void>;
  { ops.Attention(layer, qkv, window) } -> std::same_as<typename O::Tensor>;
  { ops.Project(y, linear) } -> std::same_as<typename O::Tensor>;
  { ops.GatedMlp(y, gate_up, linear) } -> std::same_as<typename O::Tensor>;
};

}  // namespace oneai::models
