#include "serving/sampling/token_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai::serving {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

TokenSampler::TokenSampler(const SamplingSettings& settings, absl::Span<const int32_t> prompt,
                           std::vector<int32_t> end_ids, int64_t num_tokens_known)
    : settings_(settings), num_tokens_known_(num_tokens_known) {
  if (!settings.ignore_eos) end_ids_ = std::move(end_ids);
  end_ids_.insert(end_ids_.end(), settings.stop_token_ids.begin(), settings.stop_token_ids.end());
  if (settings.repetition_penalty != 1.0) {
    for (int32_t id : prompt) times_output_.emplace(id, 0);
  }
}

absl::StatusOr<int32_t> TokenSampler::Sample(absl::Span<float> logits,
                                             kernels::SamplingScratch& scratch) {
  const int64_t vocab = std::min<int64_t>(logits.size(), num_tokens_known_);
  Penalise(logits);
  if (num_generated_ < settings_.min_tokens) {
    for (int32_t id : end_ids_) {
      if (id >= 0 && id < vocab) logits[id] = kNever;
    }
  }
  kernels::SamplingParams params;
  params.temperature = static_cast<float>(settings_.temperature);
  params.top_k = settings_.top_k;
  params.top_p = static_cast<float>(settings_.top_p);
  params.min_p = static_cast<float>(settings_.min_p);
  // A broken row is found by its best logit: +inf or nothing finite. (NaN is never chosen.)
  const int32_t best = kernels::ArgMax(logits.data(), vocab);
  if (best < 0 || best >= vocab || !std::isfinite(logits[best])) {
    return absl::InternalError(absl::StrCat("the model gave no finite logit at output token ",
                                            num_generated_,
                                            ": the checkpoint's weights are damaged"));
  }
  const int32_t token = settings_.temperature == 0.0
                            ? best
                            : kernels::SampleToken(logits.data(), vocab, params, settings_.seed,
                                                   static_cast<uint64_t>(num_generated_), scratch);
  ++num_generated_;
  ++times_output_[token];
  return token;
}

void TokenSampler::Penalise(absl::Span<float> logits) const {
  const float repetition = static_cast<float>(settings_.repetition_penalty);
  for (const auto& [id, times] : times_output_) {
    if (id < 0 || id >= static_cast<int64_t>(logits.size())) continue;
    float& logit = logits[id];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    if (times > 0) {
      logit -= static_cast<float>(settings_.presence_penalty + settings_.frequency_penalty * times);
    }
  }
}

bool TokenSampler::IsEnd(int32_t token) const {
  return std::find(end_ids_.begin(), end_ids_.end(), token) != end_ids_.end();
}

}  // namespace oneai::serving
