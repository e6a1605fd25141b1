// A token's k best are kept in a sorted list of k while its logits are read once: k is small, and
// most logits fall below the list's end. Bottleneck: exp over all experts.
#include "kernels/moe/route.h"

#include <algorithm>
#include <cmath>

namespace oneai::kernels {
namespace {

constexpr int64_t kTokensPerLoop = 16;

// Numbers fall, and NaNs follow them.
bool IsBefore(float a, float b) { return a > b || (std::isnan(b) && !std::isnan(a)); }

void RouteToken(const RouteArgs& args, int64_t token) {
  const float* logits = args.logits + token * args.logits_stride;
  int32_t* experts = args.experts + token * args.k;
  float* weights = args.weights + token * args.k;
  int64_t num_kept = 0;
  for (int64_t e = 0; e < args.num_experts; ++e) {
    int64_t at = num_kept;
    while (at > 0 && IsBefore(logits[e], logits[experts[at - 1]])) --at;
    if (at == args.k) continue;
    num_kept = std::min(num_kept + 1, args.k);
    for (int64_t i = num_kept - 1; i > at; --i) experts[i] = experts[i - 1];
    experts[at] = static_cast<int32_t>(e);
  }
  const float top = logits[experts[0]];
  float total = 0;
  for (int64_t e = 0; e < args.num_experts; ++e) total += std::exp(logits[e] - top);
  float chosen = 0;
  for (int64_t j = 0; j < args.k; ++j) {
    weights[j] = std::exp(logits[experts[j]] - top) / total;
    chosen += weights[j];
  }
  if (!args.normalize) return;
  for (int64_t j = 0; j < args.k; ++j) weights[j] /= chosen;
}

}  // namespace

void Route(const RouteArgs& args, KernelContext& ctx) {
  auto tokens = [&](int64_t begin, int64_t end, int) {
    for (int64_t token = begin; token < end; ++token) RouteToken(args, token);
  };
  if (args.num_tokens < kTokensPerLoop) {
    tokens(0, args.num_tokens, 0);
  } else {
    ctx.threads().ParallelFor(args.num_tokens, tokens);
  }
}

}  // namespace oneai::kernels
