#include "models/ops/torch_loss.h"

#include <algorithm>

namespace oneai::models {
namespace {

using torch::Tensor;

// Rows per chunk: enough to keep the products efficient, few enough for 32 MB of float32 logits
// where the vocabulary allows it.
int64_t ChunkRows(int64_t vocab_size) {
  return std::clamp<int64_t>((int64_t{1} << 23) / vocab_size, 256, 4096);
}

enum class Gradient { kNone, kComputed };

class LinearCrossEntropyFunction : public torch::autograd::Function<LinearCrossEntropyFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& hidden,
                        const Tensor& weight, const Tensor& targets, Gradient gradient) {
    const Tensor w = weight.to(hidden.scalar_type());
    const Tensor kept = (targets != kIgnoredTarget).nonzero().squeeze(1);
    const Tensor x = hidden.index_select(0, kept), y = targets.index_select(0, kept).unsqueeze(1);
    Tensor sum = torch::zeros({}, hidden.options().dtype(torch::kFloat64));
    Tensor grad_x, grad_weight;
    if (gradient == Gradient::kComputed) {
      grad_x = torch::empty_like(x);
      grad_weight = torch::zeros(weight.sizes(), weight.options().dtype(torch::kFloat32));
    }
    const int64_t rows = ChunkRows(weight.size(0));
    for (int64_t begin = 0; begin < x.size(0); begin += rows) {
      const int64_t end = std::min(begin + rows, x.size(0));
      const Tensor x_chunk = x.slice(0, begin, end), y_chunk = y.slice(0, begin, end);
      Tensor logits = torch::mm(x_chunk, w.t()).to(torch::kFloat32);
      const Tensor lse = logits.logsumexp(1, true);
      sum += (lse - logits.gather(1, y_chunk)).sum(torch::kFloat64);
      if (gradient == Gradient::kNone) continue;
      const Tensor softmax = logits.sub_(lse).exp_();
      const Tensor grad_logits =
          softmax.scatter_add_(1, y_chunk, torch::full(y_chunk.sizes(), -1.0, softmax.options()))
              .to(hidden.scalar_type());
      grad_x.slice(0, begin, end).copy_(torch::mm(grad_logits, w));
      grad_weight.add_(torch::mm(grad_logits.t(), x_chunk));
    }
    if (gradient == Gradient::kComputed) {
      ctx->save_for_backward({torch::zeros_like(hidden).index_copy_(0, kept, grad_x), grad_weight});
    }
    return sum.to(torch::kFloat32);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const torch::autograd::variable_list saved = ctx->get_saved_variables();
    return {saved[0] * grads[0], saved[1] * grads[0], Tensor(), Tensor()};
  }
};

}  // namespace

LossSum LinearCrossEntropy(const Tensor& hidden, const Tensor& weight, const Tensor& targets) {
  const bool wanted =
      torch::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad());
  LossSum loss;
  loss.num_tokens = (targets != kIgnoredTarget).sum().item<int64_t>();
  loss.sum = LinearCrossEntropyFunction::apply(hidden, weight, targets,
                                               wanted ? Gradient::kComputed : Gradient::kNone);
  return loss;
}

Tensor LoadBalancingLoss(const std::vector<Tensor>& router_logits, int64_t experts_per_token) {
  const Tensor probabilities = torch::softmax(torch::cat(router_logits).to(torch::kFloat32), -1);
  const auto [unused, chosen] = probabilities.detach().topk(experts_per_token, -1);
  const int64_t num_tokens = probabilities.size(0), num_experts = probabilities.size(1);
  const Tensor visits = torch::bincount(chosen.reshape({-1}), {}, num_experts);
  const Tensor share = visits.to(torch::kFloat32) / static_cast<double>(num_tokens);
  return (share * probabilities.mean(0)).sum() * static_cast<double>(num_experts);
}

}  // namespace oneai::models
