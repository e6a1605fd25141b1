// One Gated DeltaNet layer at the shapes of Qwen3-Next-80B-A3B (2048 wide, 16 key and 32 value
// heads of 128, convolution over 4 tokens): what it computes besides its projections, per op and
// variant. Prefill is held against the multiply-add rate of the variant's own instruction (the
// recurrence issues four per element of S and token), decode against the rate at which all threads
// read and rewrite memory in place. Both ceilings are measured in the same run.
//
//   delta_net_bench [threads]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "benchmarks/kernels/machine_peaks.h"
#include "benchmarks/kernels/stopwatch.h"
#include "kernels/delta_net/delta_net_variants.h"
#include "models/runtime/recurrent_state.h"

namespace oneai::kernels {
namespace {

constexpr int64_t kKeyHeads = 16, kValueHeads = 32, kDim = 128, kKernel = 4;
constexpr int64_t kKeys = kKeyHeads * kDim, kValues = kValueHeads * kDim;
constexpr int64_t kConvWidth = 2 * kKeys + kValues, kState = kValueHeads * kDim * kDim;
constexpr int64_t kLinearLayers = 36;    // of 48
constexpr int64_t kPrefillTokens = 128;  // time grows with them; a short run is rarely disturbed
constexpr int kRepetitions = 40;         // the best of them: other users only slow a run down

models::ModelConfig LinearLayers(int64_t num_layers) {
  models::ModelConfig config;
  config.num_layers = num_layers;
  config.layer_types.assign(num_layers, models::LayerType::kLinearAttention);
  config.delta_net = {.num_key_heads = kKeyHeads,
                      .num_value_heads = kValueHeads,
                      .key_dim = kDim,
                      .value_dim = kDim,
                      .conv_kernel = kKernel};
  return config;
}

// A batch of `num_sequences` sequences of `length` tokens, and `num_layers` layers of state.
struct Layer {
  Layer(int64_t num_sequences, int64_t length, int64_t num_layers)
      : num_tokens(num_sequences * length),
        layers(num_layers),
        mixed(num_tokens * kConvWidth, 0.03f),
        gates(num_tokens * 2 * kValueHeads, 0.1f),
        z(num_tokens * kValues, 0.3f),
        out(num_tokens * kValues),
        g(num_tokens * kValueHeads),
        beta(g.size()),
        weight(kKernel * kConvWidth, 0.25f),
        norm(kDim, 1.0f),
        head(kValueHeads, 0.5f),
        state(*models::RecurrentState::Create(LinearLayers(num_layers), num_sequences)) {
    for (float& x : Memory()) x = 0.01f;
    for (int64_t s = 0; s < num_sequences; ++s) {
      const auto slot = static_cast<int32_t>(s);
      runs.push_back(
          {static_cast<int32_t>(s * length), static_cast<int32_t>((s + 1) * length), slot, slot});
    }
  }

  // All layers' states as floats.
  absl::Span<float> Memory() {
    return absl::MakeSpan(reinterpret_cast<float*>(state.Slot(0).data()),
                          state.num_slots() * state.Slot(0).size() / sizeof(float));
  }
  int64_t num_sequences() const { return static_cast<int64_t>(runs.size()); }

  CausalConvArgs Conv(int64_t layer) {
    return {.x = mixed.data(),
            .x_stride = kConvWidth,
            .weight = weight.data(),
            .channels = kConvWidth,
            .kernel_size = kKernel,
            .runs = runs.data(),
            .num_runs = num_sequences(),
            .tail = state.layers()[layer].tail,
            .slot_stride = state.layers()[layer].slot_stride};
  }
  DeltaGatesArgs Gates() {
    return {.b = gates.data(),
            .a = gates.data() + kValueHeads,
            .in_stride = 2 * kValueHeads,
            .a_log = head.data(),
            .dt_bias = head.data(),
            .g = g.data(),
            .beta = beta.data(),
            .num_tokens = num_tokens,
            .num_heads = kValueHeads};
  }
  DeltaRuleArgs Rule(int64_t layer) {
    return {.q = mixed.data(),
            .k = mixed.data() + kKeys,
            .v = mixed.data() + 2 * kKeys,
            .token_stride = kConvWidth,
            .g = g.data(),
            .beta = beta.data(),
            .out = out.data(),
            .out_stride = kValues,
            .runs = runs.data(),
            .num_runs = num_sequences(),
            .state = state.layers()[layer].state,
            .slot_stride = state.layers()[layer].slot_stride,
            .num_key_heads = kKeyHeads,
            .num_value_heads = kValueHeads,
            .key_dim = kDim,
            .value_dim = kDim};
  }
  GatedRmsNormArgs Norm() {
    return {.x = out.data(),
            .x_stride = kValues,
            .z = z.data(),
            .z_stride = kValues,
            .weight = norm.data(),
            .y = out.data(),
            .y_stride = kValues,
            .num_tokens = num_tokens,
            .num_heads = kValueHeads,
            .dim = kDim};
  }

  int64_t num_tokens, layers;
  std::vector<RecurrentRun> runs;
  std::vector<float> mixed, gates, z, out, g, beta, weight, norm, head;
  models::RecurrentState state;
};

// The ops of one instruction set on all threads.
struct Runner {
  const DeltaNetFns& fns;
  KernelContext& ctx;

  void Conv(const CausalConvArgs& args) const {
    ctx.threads().ParallelFor(
        args.channels / kConvChannelsPerItem, [&](int64_t begin, int64_t end, int) {
          fns.causal_conv(args, begin * kConvChannelsPerItem, end * kConvChannelsPerItem);
        });
  }
  void Rule(const DeltaRuleArgs& args) const {
    ctx.threads().ParallelFor(
        args.num_value_heads * args.num_runs,
        [&](int64_t begin, int64_t end, int) { fns.delta_rule(args, begin, end); });
  }
  void Norm(const GatedRmsNormArgs& args) const {
    ctx.threads().ParallelFor(args.num_tokens, [&](int64_t begin, int64_t end, int) {
      fns.gated_norm(args, begin, end);
    });
  }
};

// Bytes per second that all threads read and write back in place: one of `parts` at a time, the
// fastest of several passes over all of them, which do not fit the caches.
double MeasureRewriteBandwidth(KernelContext& ctx, absl::Span<float> memory, int64_t parts) {
  const int64_t part = static_cast<int64_t>(memory.size()) / parts;
  int64_t next = 0;
  const double seconds = BestSeconds(kRepetitions * static_cast<int>(parts), [&] {
    float* const data = memory.data() + next++ % parts * part;
    ctx.threads().ParallelFor(part, [data](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) data[i] *= 0.999f;
    });
  });
  return 2.0 * static_cast<double>(part * sizeof(float)) / seconds;
}

void Prefill(const Variant<DeltaNetFns>& variant, KernelContext& ctx) {
  Layer layer(1, kPrefillTokens, 1);
  const Runner run{variant.fn, ctx};
  const int repetitions = variant.isa == CpuIsa::kReference ? 1 : kRepetitions;
  const double conv = BestSeconds(repetitions, [&] { run.Conv(layer.Conv(0)); });
  const double gates = BestSeconds(repetitions, [&] { DeltaGates(layer.Gates(), ctx); });
  const double rule = BestSeconds(repetitions, [&] { run.Rule(layer.Rule(0)); });
  const double norm = BestSeconds(repetitions, [&] { run.Norm(layer.Norm()); });
  const double all = conv + gates + rule + norm;
  std::printf("  prefill %ld tokens: %8.2f ms = %8.0f tok/s a layer", kPrefillTokens, all * 1e3,
              kPrefillTokens / all);
  std::printf("  (conv %.2f, gates %.2f, recurrence %.2f, norm %.2f ms)", conv * 1e3, gates * 1e3,
              rule * 1e3, norm * 1e3);
  const double peak = MeasurePeakFlops(variant.name, ctx);
  if (peak > 0) {
    const double issued = 4.0 * 2.0 * kState * kPrefillTokens / rule;
    std::printf("  recurrence %.1f %% of the multiply-add peak", 100 * issued / peak);
  }
  std::printf("\n");
}

void Decode(const Variant<DeltaNetFns>& variant, int64_t num_sequences, KernelContext& ctx) {
  Layer layer(num_sequences, 1, num_sequences == 1 ? kLinearLayers : 8);
  const Runner run{variant.fn, ctx};
  const double rewrite = MeasureRewriteBandwidth(ctx, layer.Memory(), layer.layers);
  int64_t next = 0;  // layer by layer, so that its state comes from memory
  const double seconds = BestSeconds(kRepetitions * static_cast<int>(layer.layers), [&] {
    const int64_t i = next++ % layer.layers;
    run.Conv(layer.Conv(i));
    DeltaGates(layer.Gates(), ctx);
    run.Rule(layer.Rule(i));
    run.Norm(layer.Norm());
  });
  const double bytes = 2.0 * static_cast<double>(num_sequences * sizeof(float)) *
                       (kState + (kKernel - 1) * kConvWidth);
  std::printf(
      "  decode, %2ld sequences: %8.3f ms = %8.0f tok/s a layer, %5.1f GB/s of state, "
      "%.1f %% of rewriting memory (%.1f GB/s)\n",
      num_sequences, seconds * 1e3, static_cast<double>(num_sequences) / seconds,
      bytes / seconds / 1e9, 100 * bytes / seconds / rewrite, rewrite / 1e9);
}

int Main(int argc, char** argv) {
  KernelContext ctx(argc > 1 ? std::atoi(argv[1]) : 0);
  std::printf("%s, %d threads\n", GetCpuInfo().model_name.c_str(), ctx.threads().num_threads());
  for (const Variant<DeltaNetFns>& variant : DeltaNetVariants()) {
    if (!variant.is_supported(GetCpuInfo().features)) continue;
    std::printf("%s\n", std::string(variant.name).c_str());
    Prefill(variant, ctx);
    if (variant.isa == CpuIsa::kReference) continue;
    for (const int64_t num_sequences : {1, 16}) Decode(variant, num_sequences, ctx);
  }
  return 0;
}

}  // namespace
}  // namespace oneai::kernels

int main(int argc, char** argv) { return oneai::kernels::Main(argc, argv); }
