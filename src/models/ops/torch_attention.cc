#include "models/ops/torch_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace oneai::models {
namespace {

using torch::Tensor;

constexpr int64_t kQueryTile = 128;

// A tile's slice of a [kv, groups, T, d] tensor as [kv, groups * rows, d]: the query heads that
// share a KV head are stacked, so that one batched product serves them all.
Tensor QueryRows(const Tensor& x, int64_t begin, int64_t end) {
  return x.slice(2, begin, end).reshape({x.size(0), x.size(1) * (end - begin), x.size(3)});
}

void StoreQueryRows(Tensor& out, const Tensor& rows, int64_t begin, int64_t end) {
  Tensor slice = out.slice(2, begin, end);
  slice.copy_(rows.view(slice.sizes()));
}

// softmax(scale * q k^T + bias) in float32; `bias` [rows, keys] is shared by the stacked heads.
Tensor Probabilities(const Tensor& q, const Tensor& k, const Tensor& bias, int64_t groups) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  const Tensor s =
      torch::bmm(q, k.transpose(1, 2)).view({q.size(0), groups, bias.size(0), bias.size(1)});
  return torch::softmax(torch::add(bias, s, scale), -1).view({q.size(0), q.size(1), k.size(1)});
}

class PackedAttentionFunction : public torch::autograd::Function<PackedAttentionFunction> {
 public:
  // q [kv, groups, T, d]; k, v [kv, T, d]; all contiguous.
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& q, const Tensor& k,
                        const Tensor& v, const std::vector<AttentionTile>* tiles) {
    Tensor out = torch::empty_like(q);
    torch::autograd::variable_list saved{q, k, v};
    std::vector<int64_t> bounds;
    for (const AttentionTile& tile : *tiles) {
      const Tensor p = Probabilities(QueryRows(q, tile.begin, tile.end),
                                     k.slice(1, tile.key_begin, tile.end), tile.bias, q.size(1));
      StoreQueryRows(out, torch::bmm(p.to(q.scalar_type()), v.slice(1, tile.key_begin, tile.end)),
                     tile.begin, tile.end);
      bounds.insert(bounds.end(), {tile.begin, tile.end, tile.key_begin});
      saved.push_back(tile.bias);
    }
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["bounds"] = std::move(bounds);
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const torch::autograd::variable_list saved = ctx->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const Tensor grad_out = grads[0].contiguous();
    const std::vector<int64_t> bounds = ctx->saved_data["bounds"].toIntVector();
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
    Tensor grad_q = torch::empty_like(q);
    Tensor grad_k = torch::zeros(k.sizes(), k.options().dtype(torch::kFloat32));
    Tensor grad_v = torch::zeros_like(grad_k);
    for (size_t i = 0; 3 * i < bounds.size(); ++i) {
      const int64_t begin = bounds[3 * i], end = bounds[3 * i + 1], key_begin = bounds[3 * i + 2];
      const Tensor q_rows = QueryRows(q, begin, end), grad_rows = QueryRows(grad_out, begin, end);
      const Tensor k_rows = k.slice(1, key_begin, end), v_rows = v.slice(1, key_begin, end);
      const Tensor p = Probabilities(q_rows, k_rows, saved[3 + i], q.size(1));
      grad_v.slice(1, key_begin, end)
          .add_(torch::bmm(p.to(q.scalar_type()).transpose(1, 2), grad_rows));
      const Tensor grad_p = torch::bmm(grad_rows, v_rows.transpose(1, 2)).to(torch::kFloat32);
      const Tensor grad_s = at::_softmax_backward_data(grad_p, p, -1, torch::kFloat32)
                                .mul_(scale)
                                .to(q.scalar_type());
      StoreQueryRows(grad_q, torch::bmm(grad_s, k_rows), begin, end);
      grad_k.slice(1, key_begin, end).add_(torch::bmm(grad_s.transpose(1, 2), q_rows));
    }
    return {grad_q, grad_k.to(k.scalar_type()), grad_v.to(v.scalar_type()), Tensor()};
  }
};

}  // namespace

std::vector<AttentionTile> PlanAttentionTiles(const TorchBatch& batch, int64_t window) {
  const int64_t num_tokens = batch.num_tokens();
  // Lowest key index that each query may see; it never falls from one query to the next.
  const Tensor index = torch::arange(num_tokens, batch.document_start.options());
  Tensor lowest = batch.document_start;
  if (window > 0) lowest = torch::maximum(lowest, index - (window - 1));
  const Tensor lowest_cpu = lowest.cpu();
  std::vector<AttentionTile> tiles;
  for (int64_t begin = 0; begin < num_tokens; begin += kQueryTile) {
    AttentionTile tile;
    tile.begin = begin;
    tile.end = std::min(begin + kQueryTile, num_tokens);
    tile.key_begin = lowest_cpu.data_ptr<int64_t>()[begin];
    const Tensor query = index.slice(0, begin, tile.end).unsqueeze(1);
    const Tensor key = index.slice(0, tile.key_begin, tile.end).unsqueeze(0);
    const Tensor hidden =
        (key > query).logical_or_(key < lowest.slice(0, begin, tile.end).unsqueeze(1));
    tile.bias = torch::zeros(hidden.sizes(), hidden.options().dtype(torch::kFloat32))
                    .masked_fill_(hidden, -std::numeric_limits<float>::infinity());
    tiles.push_back(std::move(tile));
  }
  return tiles;
}

Tensor PackedAttention(const Tensor& q, const Tensor& k, const Tensor& v,
                       const std::vector<AttentionTile>& tiles) {
  const int64_t num_tokens = q.size(0), num_heads = q.size(1), head_dim = q.size(2),
                num_kv_heads = k.size(1);
  const Tensor grouped = q.view({num_tokens, num_kv_heads, num_heads / num_kv_heads, head_dim})
                             .permute({1, 2, 0, 3})
                             .contiguous();
  const Tensor out = PackedAttentionFunction::apply(grouped, k.transpose(0, 1).contiguous(),
                                                    v.transpose(0, 1).contiguous(), &tiles);
  return out.permute({2, 0, 1, 3}).reshape({num_tokens, num_heads * head_dim});
}

}  // namespace oneai::models
