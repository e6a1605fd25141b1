// File: models/ops/torch_attention.h
//
// Causal attention over packed documents for LibTorch, without a [T, T] matrix. The packed sequence
// is cut into tiles of queries; each tile meets only the keys that some query in it may see, so the
// cost follows the documents' lengths, and the backward pass recomputes the probabilities tile by
// tile (arXiv:2205.14135).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/ops/torch_batch.h"
#include "torch/torch.h"

namespace oneai::models {

// The queries [begin, end) and the keys [key_begin, end) they meet. bias [end - begin, end -
// key_begin] float32 is -inf where a query may not see a key (later, another document, or left of
// its window) and 0 elsewhere.
struct AttentionTile {
  int64_t begin = 0, end = 0, key_begin = 0;
  torch::Tensor bias;
};

// Plans the tiles of a batch; window 0: none. Computed once per batch and shared by its layers.
std::vector<AttentionTile> PlanAttentionTiles(const TorchBatch& batch, int64_t window);

// softmax(q k^T / sqrt(head_dim)) v. Matrix products in the inputs' dtype, softmax in float32.
// Differentiable once.
//   q       [T, num_heads, head_dim]
//   k, v    [T, num_kv_heads, head_dim]
//   result  [T, num_heads * head_dim]
// Query head h reads KV head h / (num_heads / num_kv_heads). Deterministic.
torch::Tensor PackedAttention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, const std::vector<AttentionTile>& tiles);

}  // namespace oneai::models
