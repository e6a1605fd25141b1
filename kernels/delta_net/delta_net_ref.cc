// Defines "correct": plain loops, float64 arithmetic between float32 inputs, outputs and states.
#include <cmath>
#include <vector>

#include "kernels/delta_net/delta_net_variants.h"

namespace oneai::kernels {
namespace {

double Silu(double x) { return x / (1.0 + std::exp(-x)); }

// x / |x| * scale.
std::vector<double> Normalized(const float* x, int64_t dim, double scale) {
  double sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum += double{x[i]} * x[i];
  std::vector<double> y(dim);
  for (int64_t i = 0; i < dim; ++i) y[i] = x[i] * scale / std::sqrt(sum + kDeltaL2Epsilon);
  return y;
}

void OneToken(const DeltaRuleArgs& args, int64_t head, int64_t token, float* state) {
  const int64_t dk = args.key_dim, dv = args.value_dim;
  const int64_t key_head = head / (args.num_value_heads / args.num_key_heads);
  const int64_t key_at = token * args.token_stride + key_head * dk;
  const std::vector<double> k = Normalized(args.k + key_at, dk, 1.0),
                            q = Normalized(args.q + key_at, dk,
                                           1.0 / std::sqrt(static_cast<double>(dk)));
  const double decay = std::exp(double{args.g[token * args.num_value_heads + head]});
  const double beta = args.beta[token * args.num_value_heads + head];
  for (int64_t j = 0; j < dv; ++j) {
    const auto at = [&](int64_t i) -> float& { return state[DeltaStateIndex(dk, dv, i, j)]; };
    double known = 0, out = 0;
    for (int64_t i = 0; i < dk; ++i) known += decay * at(i) * k[i];
    const double delta = beta * (args.v[token * args.token_stride + head * dv + j] - known);
    for (int64_t i = 0; i < dk; ++i) {
      at(i) = static_cast<float>(decay * at(i) + k[i] * delta);
      out += at(i) * q[i];
    }
    args.out[token * args.out_stride + head * dv + j] = static_cast<float>(out);
  }
}

}  // namespace

void CausalConvRef(const CausalConvArgs& args, int64_t channel_begin, int64_t channel_end) {
  const int64_t history = args.kernel_size - 1;
  for (int64_t r = 0; r < args.num_runs; ++r) {
    const RecurrentRun& run = args.runs[r];
    float* x = args.x + run.begin * args.x_stride;
    const float* before = args.tail + run.from * args.slot_stride;
    float* after = args.tail + run.to * args.slot_stride;
    const int64_t num_tokens = run.end - run.begin;
    for (int64_t c = channel_begin; c < channel_end; ++c) {
      std::vector<float> in;
      for (int64_t j = 0; j < history; ++j) {
        in.push_back(run.from == kZeroState ? 0.0f : before[j * args.channels + c]);
      }
      for (int64_t t = 0; t < num_tokens; ++t) in.push_back(x[t * args.x_stride + c]);
      for (int64_t t = 0; t < num_tokens; ++t) {
        double sum = 0;
        for (int64_t j = 0; j <= history; ++j) {
          sum += double{args.weight[j * args.channels + c]} * in[t + j];
        }
        x[t * args.x_stride + c] = static_cast<float>(Silu(sum));
      }
      for (int64_t j = 0; j < history; ++j) after[j * args.channels + c] = in[num_tokens + j];
    }
  }
}

void DeltaRuleRef(const DeltaRuleArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t item = item_begin; item < item_end; ++item) {
    const int64_t head = item / args.num_runs;
    const RecurrentRun& run = args.runs[item % args.num_runs];
    float* state = OpenState(args, run, head);
    for (int64_t t = run.begin; t < run.end; ++t) OneToken(args, head, t, state);
  }
}

void GatedNormRef(const GatedRmsNormArgs& args, int64_t token_begin, int64_t token_end) {
  for (int64_t t = token_begin; t < token_end; ++t) {
    for (int64_t h = 0; h < args.num_heads; ++h) {
      const float* x = args.x + t * args.x_stride + h * args.dim;
      const float* z = args.z + t * args.z_stride + h * args.dim;
      float* y = args.y + t * args.y_stride + h * args.dim;
      double sum = 0;
      for (int64_t i = 0; i < args.dim; ++i) sum += double{x[i]} * x[i];
      const double scale = 1.0 / std::sqrt(sum / static_cast<double>(args.dim) + args.epsilon);
      for (int64_t i = 0; i < args.dim; ++i) {
        y[i] = static_cast<float>(x[i] * scale * args.weight[i] * Silu(z[i]));
      }
    }
  }
}

}  // namespace oneai::kernels
