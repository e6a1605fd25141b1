// File: models/ops/cpu_delta_net.h
//
// A Gated DeltaNet layer in serving, between its input and output projections: the kernels of
// kernels/delta_net on one ragged step, with the buffers they need.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/delta_net/recurrent_state_view.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/ops/recurrent_step.h"

namespace oneai::models {

// The layer's weights that are no matrices; borrowed. Shapes: DeltaNetWeights (models/ops/ops.h).
struct DeltaNetVectors {
  const std::vector<float>& conv;
  const std::vector<float>& a_log;
  const std::vector<float>& dt_bias;
  const std::vector<float>& norm;
};

// The step's sequences, and the state of the layer at hand.
struct DeltaNetStep {
  int64_t num_tokens = 0;
  const RecurrentStep& recurrent;
  kernels::RecurrentStateView state;
};

// What a layer computed, for goldens; valid until the next Run. Rows without gaps, but for mixed's.
struct DeltaNetTrace {
  const float* mixed = nullptr;  // [T, conv_width]: q, k, v after convolution and SiLU
  int64_t mixed_stride = 0;
  const float* g = nullptr;     // [T, num_value_heads]
  const float* beta = nullptr;  // [T, num_value_heads]
  const float* out = nullptr;   // [T, value_width]: of the recurrence
};

// Thread-compatible. Buffers grow to the largest step seen and are then reused.
class CpuDeltaNet {
 public:
  // Borrows both for its lifetime.
  CpuDeltaNet(const ModelConfig& config, kernels::KernelContext& context);

  // Advances the state over the step's tokens.
  //   qkvz  [T, 2 key_width + 2 value_width] without gaps; q, k, v are overwritten
  //   ba    [T, 2 num_value_heads] without gaps
  // Returns the gated, normed heads [T, value_width], in a buffer of this object. A row's bits do
  // not depend on the other sequences, on chunking or on threads. `layer` names the layer.
  float* Run(int layer, float* qkvz, const float* ba, const DeltaNetVectors& weights,
             const DeltaNetStep& step);

  const DeltaNetTrace& trace() const { return trace_; }

 private:
  // The convolution's weights as the kernel reads them, [conv_kernel, conv_width]; transposed when
  // a layer first runs.
  const std::vector<float>& Taps(int layer, const std::vector<float>& conv);

  // The convolution and the recurrence over the runs of one round.
  void Recur(float* qkvz, const std::vector<float>& taps,
             absl::Span<const kernels::RecurrentRun> runs,
             const kernels::RecurrentStateView& state);

  const ModelConfig& config_;
  kernels::KernelContext& context_;
  std::vector<std::vector<float>> taps_;  // by layer
  std::vector<float> g_, beta_, out_, gated_;
  DeltaNetTrace trace_;
};

}  // namespace oneai::models
