// Sparse layers on the CPU: only the experts that some token visits are read, and their results are
// added in rising order of experts, so that a token's sum does not depend on the batch. Experts are
// computed many at a time, since one expert's few rows would not occupy all threads and a decode
// step would spend its time starting loops: eight experts a layer in two loops instead of sixteen.
#include <algorithm>
#include <cstring>

#include "kernels/gemm/gemm.h"
#include "kernels/moe/expert_sum.h"
#include "kernels/moe/route.h"
#include "models/ops/cpu_ops.h"

namespace oneai::models {
namespace {

// Rows of experts that are computed together: enough that each loop has work for all threads, and
// few enough that their activations stay in the outer caches.
constexpr int64_t kRowsAtOnce = 256;

}  // namespace

CpuOps::Routing CpuOps::routing() const {
  const int64_t stride = config_.moe.num_experts + (config_.moe.shared_expert_size > 0 ? 1 : 0);
  const auto num_tokens = static_cast<size_t>(batch_.num_tokens());
  const size_t chosen = num_tokens * static_cast<size_t>(config_.moe.experts_per_token);
  return {.logits = absl::MakeConstSpan(router_logits_).first(num_tokens * stride),
          .logits_stride = stride,
          .experts = absl::MakeConstSpan(routed_experts_).first(chosen),
          .weights = absl::MakeConstSpan(routed_weights_).first(chosen)};
}

void CpuOps::RouteTokens(const Tensor& x, const Linear& router) {
  const OpTimer timer = Time(OpKind::kRoute);
  const int64_t num_tokens = batch_.num_tokens(), k = config_.moe.experts_per_token;
  const Tensor logits = Rows(router_logits_, num_tokens, router.weight.n());
  Apply(x, num_tokens, router, batch_.adapters, logits.data);
  const size_t chosen = static_cast<size_t>(num_tokens * k);
  if (routed_experts_.size() < chosen) routed_experts_.resize(chosen);
  if (routed_weights_.size() < chosen) routed_weights_.resize(chosen);
  kernels::Route({.logits = logits.data,
                  .logits_stride = logits.stride,
                  .num_tokens = num_tokens,
                  .num_experts = config_.moe.num_experts,
                  .k = k,
                  .normalize = config_.moe.normalize_weights,
                  .experts = routed_experts_.data(),
                  .weights = routed_weights_.data()},
                 context_);
  kernels::GroupByExpert(absl::MakeConstSpan(routed_experts_).first(chosen),
                         absl::MakeConstSpan(routed_weights_).first(chosen), k,
                         config_.moe.num_experts, expert_rows_);
}

CpuTensor CpuOps::SparseMlp(int /*layer*/, const Tensor& x, const SparseMlpWeights<CpuOps>& w) {
  const int64_t num_tokens = batch_.num_tokens(), hidden = config_.hidden_size;
  RouteTokens(x, w.router);
  const Tensor y = Rows(mlp_, num_tokens, hidden);
  if (config_.moe.shared_expert_size > 0) {
    GatedMlpRows(x, num_tokens, w.shared_gate_up, w.shared_down, batch_.adapters, y);
    kernels::ScaleBySigmoid(y.data, y.stride, router_logits_.data() + config_.moe.num_experts,
                            w.router.weight.n(), num_tokens, hidden);
  } else {
    std::fill_n(y.data, num_tokens * hidden, 0.0f);
  }
  if (batch_.adapters.empty()) {
    AddExperts(x, w.experts, y);
  } else {
    for (const kernels::ExpertRows::Expert& visited : expert_rows_.experts)
      AddExpert(x, visited, w.experts[visited.expert], y);
  }
  return y;
}

void CpuOps::AddExperts(const Tensor& x, const Experts& experts, const Tensor& y) {
  expert_parts_.clear();
  for (const kernels::ExpertRows::Expert& visited : expert_rows_.experts) {
    for (int64_t begin = visited.begin; begin < visited.end; begin += kRowsAtOnce) {
      const int64_t end = std::min(visited.end, begin + kRowsAtOnce);
      if (!expert_parts_.empty() && end - expert_parts_.front().begin > kRowsAtOnce) {
        AddExpertParts(x, experts, y);
        expert_parts_.clear();
      }
      expert_parts_.push_back({visited.expert, begin, end});
    }
  }
  if (!expert_parts_.empty()) AddExpertParts(x, experts, y);
}

void CpuOps::AddExpertParts(const Tensor& x, const Experts& experts, const Tensor& y) {
  const int64_t hidden = config_.hidden_size, inner = config_.moe.expert_size;
  const int64_t first = expert_parts_.front().begin;
  const int64_t num_rows = expert_parts_.back().end - first;
  const int32_t* token = expert_rows_.token.data() + first;
  Tensor in = {x.data, 0};  // a decode step of one sequence: all experts read its only row
  if (batch_.num_tokens() > 1) {
    const OpTimer timer = Time(OpKind::kRoute);
    in = Rows(expert_in_, num_rows, hidden);
    kernels::GatherRows({.x = x.data,
                         .x_stride = x.stride,
                         .token = token,
                         .y = in.data,
                         .y_stride = in.stride,
                         .num_rows = num_rows,
                         .dim = hidden},
                        context_);
  }
  const Tensor both = Rows(gate_up_, num_rows, 2 * inner);
  const Tensor out = Rows(expert_out_, num_rows, hidden);
  {
    const OpTimer timer = Time(OpKind::kGateUp);
    ApplyToParts(in, experts, &Expert::gate_up, both);
  }
  Gate(both, num_rows, inner);
  {
    const OpTimer timer = Time(OpKind::kDown);
    ApplyToParts(both, experts, &Expert::down, out);
  }
  const OpTimer timer = Time(OpKind::kRoute);
  kernels::ScatterAdd({.x = out.data,
                       .x_stride = out.stride,
                       .token = token,
                       .weight = expert_rows_.weight.data() + first,
                       .y = y.data,
                       .y_stride = y.stride,
                       .num_rows = num_rows,
                       .dim = hidden},
                      context_);
}

void CpuOps::ApplyToParts(const Tensor& x, const Experts& experts, Linear Expert::*linear,
                          const Tensor& y) {
  products_.clear();
  const int64_t first = expert_parts_.front().begin;
  for (const kernels::ExpertRows::Expert& part : expert_parts_) {
    const int64_t row = part.begin - first;
    products_.push_back(ProductOf({x.data + row * x.stride, x.stride}, part.end - part.begin,
                                  experts[part.expert].*linear, y.data + row * y.stride));
  }
  kernels::GemmAll(products_, context_);
}

void CpuOps::AddExpert(const Tensor& x, const kernels::ExpertRows::Expert& visited,
                       const Expert& expert, const Tensor& y) {
  const int64_t num_rows = visited.end - visited.begin, hidden = config_.hidden_size;
  const int32_t* token = expert_rows_.token.data() + visited.begin;
  // Neighbours need no gathering; a decode step of one sequence has no other case.
  Tensor in = {x.data + token[0] * x.stride, x.stride};
  if (token[num_rows - 1] - token[0] + 1 != num_rows) {
    const OpTimer timer = Time(OpKind::kRoute);
    in = Rows(expert_in_, expert_rows_.rows_max, hidden);
    kernels::GatherRows({.x = x.data,
                         .x_stride = x.stride,
                         .token = token,
                         .y = in.data,
                         .y_stride = in.stride,
                         .num_rows = num_rows,
                         .dim = hidden},
                        context_);
  }
  expert_adapters_.clear();
  if (!batch_.adapters.empty()) {
    for (int64_t r = 0; r < num_rows; ++r) expert_adapters_.push_back(batch_.adapters[token[r]]);
  }
  const Tensor out = Rows(expert_out_, expert_rows_.rows_max, hidden);
  GatedMlpRows(in, num_rows, expert.gate_up, expert.down, expert_adapters_, out);
  const OpTimer timer = Time(OpKind::kRoute);
  kernels::ScatterAdd({.x = out.data,
                       .x_stride = out.stride,
                       .token = token,
                       .weight = expert_rows_.weight.data() + visited.begin,
                       .y = y.data,
                       .y_stride = y.stride,
                       .num_rows = num_rows,
                       .dim = hidden},
                      context_);
}

}  // namespace oneai::models
