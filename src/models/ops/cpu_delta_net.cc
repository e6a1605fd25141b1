#include "models/ops/cpu_delta_net.h"

#include "kernels/delta_net/causal_conv.h"
#include "kernels/delta_net/delta_rule.h"
#include "kernels/delta_net/gated_norm.h"

namespace oneai::models {
namespace {

float* AtLeast(std::vector<float>& buffer, int64_t elements) {
  if (static_cast<int64_t>(buffer.size()) < elements) buffer.resize(elements);
  return buffer.data();
}

}  // namespace

CpuDeltaNet::CpuDeltaNet(const ModelConfig& config, kernels::KernelContext& context)
    : config_(config), context_(context), taps_(config.num_layers) {}

const std::vector<float>& CpuDeltaNet::Taps(int layer, const std::vector<float>& conv) {
  std::vector<float>& taps = taps_[layer];
  if (taps.empty()) {
    const int64_t width = config_.delta_net.conv_width(), kernel = config_.delta_net.conv_kernel;
    taps.resize(conv.size());
    for (int64_t c = 0; c < width; ++c) {
      for (int64_t j = 0; j < kernel; ++j) taps[j * width + c] = conv[c * kernel + j];
    }
  }
  return taps;
}

void CpuDeltaNet::Recur(float* qkvz, const std::vector<float>& taps,
                        absl::Span<const kernels::RecurrentRun> runs,
                        const kernels::RecurrentStateView& state) {
  const DeltaNetConfig& c = config_.delta_net;
  const int64_t row = c.conv_width() + c.value_width();
  const auto num_runs = static_cast<int64_t>(runs.size());
  kernels::CausalConvSilu({.x = qkvz,
                           .x_stride = row,
                           .weight = taps.data(),
                           .channels = c.conv_width(),
                           .kernel_size = c.conv_kernel,
                           .runs = runs.data(),
                           .num_runs = num_runs,
                           .tail = state.tail,
                           .slot_stride = state.slot_stride},
                          context_);
  kernels::DeltaRule({.q = qkvz,
                      .k = qkvz + c.key_width(),
                      .v = qkvz + 2 * c.key_width(),
                      .token_stride = row,
                      .g = g_.data(),
                      .beta = beta_.data(),
                      .out = out_.data(),
                      .out_stride = c.value_width(),
                      .runs = runs.data(),
                      .num_runs = num_runs,
                      .state = state.state,
                      .slot_stride = state.slot_stride,
                      .num_key_heads = c.num_key_heads,
                      .num_value_heads = c.num_value_heads,
                      .key_dim = c.key_dim,
                      .value_dim = c.value_dim},
                     context_);
}

float* CpuDeltaNet::Run(int layer, float* qkvz, const float* ba, const DeltaNetVectors& weights,
                        const DeltaNetStep& step) {
  const DeltaNetConfig& c = config_.delta_net;
  const int64_t num_tokens = step.num_tokens, heads = c.num_value_heads;
  const int64_t row = c.conv_width() + c.value_width();
  float* g = AtLeast(g_, num_tokens * heads);
  float* beta = AtLeast(beta_, num_tokens * heads);
  float* out = AtLeast(out_, num_tokens * c.value_width());
  float* gated = AtLeast(gated_, num_tokens * c.value_width());
  kernels::DeltaGates({.b = ba,
                       .a = ba + heads,
                       .in_stride = 2 * heads,
                       .a_log = weights.a_log.data(),
                       .dt_bias = weights.dt_bias.data(),
                       .g = g,
                       .beta = beta,
                       .num_tokens = num_tokens,
                       .num_heads = heads},
                      context_);
  const std::vector<float>& taps = Taps(layer, weights.conv);
  for (int64_t i = 0; i < step.recurrent.num_rounds(); ++i) {
    Recur(qkvz, taps, step.recurrent.round(i), step.state);
  }
  kernels::GatedRmsNorm({.x = out,
                         .x_stride = c.value_width(),
                         .z = qkvz + c.conv_width(),
                         .z_stride = row,
                         .weight = weights.norm.data(),
                         .y = gated,
                         .y_stride = c.value_width(),
                         .num_tokens = num_tokens,
                         .num_heads = heads,
                         .dim = c.value_dim,
                         .epsilon = static_cast<float>(config_.rms_norm_eps)},
                        context_);
  trace_ = {.mixed = qkvz, .mixed_stride = row, .g = g, .beta = beta, .out = out};
  return gated;
}

}  // namespace oneai::models
