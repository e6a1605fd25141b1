#include "models/ops/torch_delta_net.h"

#include <cmath>
#include <vector>

#include "kernels/delta_net/delta_rule.h"

namespace oneai::models {
namespace {

using torch::Tensor;

constexpr int64_t kChunk = 64;

// Where the tokens lie once every document is padded to whole chunks.
struct ChunkPlan {
  Tensor token_at;             // [num_chunks * kChunk] int64: the token, or T for padding
  Tensor place_of;             // [T] int64: the inverse
  std::vector<bool> is_first;  // [num_chunks]: the chunk opens a document
};

ChunkPlan PlanChunks(const TorchBatch& batch) {
  ChunkPlan plan;
  std::vector<int64_t> token_at, place_of;
  const int64_t num_tokens = batch.num_tokens();
  for (size_t d = 0; d + 1 < batch.cu_seqlens.size(); ++d) {
    const int64_t begin = batch.cu_seqlens[d], end = batch.cu_seqlens[d + 1];
    for (int64_t first = begin; first < end; first += kChunk) {
      plan.is_first.push_back(first == begin);
      for (int64_t t = first; t < first + kChunk; ++t) {
        if (t < end) place_of.push_back(static_cast<int64_t>(token_at.size()));
        token_at.push_back(t < end ? t : num_tokens);
      }
    }
  }
  const torch::Device device = batch.tokens.device();
  plan.token_at = torch::tensor(token_at, torch::kInt64).to(device);
  plan.place_of = torch::tensor(place_of, torch::kInt64).to(device);
  return plan;
}

// x [T, heads, ...] -> [num_chunks, heads, kChunk, ...], padding is zeros.
Tensor ToChunks(const Tensor& x, const ChunkPlan& plan) {
  std::vector<int64_t> pad = x.sizes().vec(), shape = pad;
  pad[0] = 1;
  shape[0] = kChunk;
  shape.insert(shape.begin(), static_cast<int64_t>(plan.is_first.size()));
  return torch::cat({x, torch::zeros(pad, x.options())})
      .index_select(0, plan.token_at)
      .view(shape)
      .transpose(1, 2);
}

// x / |x| * scale, key heads repeated for their value heads.
Tensor NormalizedHeads(const Tensor& x, double scale, int64_t num_value_heads) {
  const Tensor norm = x.square().sum(-1, true).add(kernels::kDeltaL2Epsilon).rsqrt();
  return (x * (norm * scale)).repeat_interleave(num_value_heads / x.size(1), 1);
}

}  // namespace

Tensor CausalConvSilu(const Tensor& x, const Tensor& weight, const TorchBatch& batch) {
  const int64_t kernel = weight.size(2);
  const Tensor wide = x.to(torch::kFloat32), taps = weight.squeeze(1).to(torch::kFloat32);
  Tensor sum = wide * taps.select(1, kernel - 1);
  for (int64_t back = 1; back < kernel && back < batch.num_tokens(); ++back) {
    const Tensor inside = (batch.positions >= back).to(torch::kFloat32).unsqueeze(1);
    const Tensor earlier = torch::constant_pad_nd(wide.slice(0, 0, -back), {0, 0, back, 0});
    sum = sum + earlier * inside * taps.select(1, kernel - 1 - back);
  }
  return torch::silu(sum);
}

Tensor DeltaLogDecay(const Tensor& a, const Tensor& a_log, const Tensor& dt_bias) {
  return -a_log.to(torch::kFloat32).exp() *
         torch::softplus(a.to(torch::kFloat32) + dt_bias.to(torch::kFloat32));
}

Tensor GatedDeltaRule(const DeltaRuleInputs& in, const TorchBatch& batch) {
  const ChunkPlan plan = PlanChunks(batch);
  const int64_t heads = in.v.size(1), key_dim = in.q.size(2), value_dim = in.v.size(2);
  const double scale = 1.0 / std::sqrt(static_cast<double>(key_dim));
  // All below is [num_chunks, heads, kChunk, ...].
  const Tensor q = ToChunks(NormalizedHeads(in.q, scale, heads), plan);
  const Tensor k = ToChunks(NormalizedHeads(in.k, 1.0, heads), plan);
  const Tensor beta = ToChunks(in.beta, plan).unsqueeze(-1);
  const Tensor since = ToChunks(in.g, plan).cumsum(-1);  // log decay since the chunk's start
  // between[i][j]: decay from after token j to token i; the upper half would overflow in exp.
  const Tensor between = (since.unsqueeze(-1) - since.unsqueeze(-2)).tril().exp().tril();
  const Tensor decayed = since.exp().unsqueeze(-1);

  // Row i of the chunk writes beta_i (v_i - S^T k_i), where S holds what rows before i wrote:
  // a triangular system, solved for the part from v and for the part from the state before.
  const Tensor k_beta = k * beta;
  const Tensor system = torch::matmul(k_beta, k.transpose(-1, -2)) * between.tril(-1) +
                        torch::eye(kChunk, k.options());
  const Tensor right = torch::cat({ToChunks(in.v, plan) * beta, k_beta * decayed}, -1);
  const Tensor solved =
      torch::linalg_solve_triangular(system, right, /*upper=*/false, /*left=*/true,
                                     /*unitriangular=*/true);
  const Tensor written = solved.slice(-1, 0, value_dim), unlearned = solved.slice(-1, value_dim);
  const Tensor inner = torch::matmul(q, k.transpose(-1, -2)) * between;
  const Tensor q_decayed = q * decayed;
  const Tensor last = since.slice(-1, kChunk - 1);  // [num_chunks, heads, 1]
  const Tensor k_to_end = (k * (last - since).exp().unsqueeze(-1)).transpose(-1, -2);
  const Tensor whole = last.exp().unsqueeze(-1);

  std::vector<Tensor> outs;
  Tensor state;  // [heads, key_dim, value_dim], undefined: zeros
  for (int64_t c = 0; c < static_cast<int64_t>(plan.is_first.size()); ++c) {
    if (plan.is_first[c]) state = Tensor();
    Tensor delta = written[c];
    if (state.defined()) delta = delta - torch::matmul(unlearned[c], state);
    Tensor out = torch::matmul(inner[c], delta);
    if (state.defined()) out = out + torch::matmul(q_decayed[c], state);
    outs.push_back(out);
    const Tensor learned = torch::matmul(k_to_end[c], delta);
    state = state.defined() ? state * whole[c] + learned : learned;
  }
  return torch::stack(outs)
      .transpose(1, 2)
      .reshape({-1, heads, value_dim})
      .index_select(0, plan.place_of);
}

}  // namespace oneai::models
