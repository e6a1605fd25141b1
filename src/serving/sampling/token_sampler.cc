#include "serving/sampling/token_sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai::serving {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// From so many allowed tokens on, a row is as good as a list of them.
constexpr int64_t kFewMax = 1024;

// A grammar allows few tokens, or nearly all but some in most words: only bits of the fewer kind
// are walked.
void Forbid(absl::Span<float> logits, absl::Span<const uint64_t> allowed) {
  const size_t vocab = logits.size();
  for (size_t word = 0; word * 64 < vocab; ++word) {
    const size_t num_here = std::min<size_t>(64, vocab - word * 64);
    const uint64_t here = ~uint64_t{0} >> (64 - num_here);
    uint64_t kept = (word < allowed.size() ? allowed[word] : 0) & here;
    uint64_t forbidden = ~kept & here;
    float* const row = logits.data() + word * 64;
    if (std::popcount(forbidden) <= 32) {
      for (; forbidden != 0; forbidden &= forbidden - 1) row[std::countr_zero(forbidden)] = kNever;
      continue;
    }
    float all[64];
    std::copy_n(row, num_here, all);
    std::fill_n(row, num_here, kNever);
    for (; kept != 0; kept &= kept - 1) row[std::countr_zero(kept)] = all[std::countr_zero(kept)];
  }
}

}  // namespace

// The finaliser of SplitMix64 (Steele et al., OOPSLA 2014) over a stream that starts at `seed`.
uint64_t SeedOfChoice(uint64_t seed, int32_t choice) {
  if (choice == 0) return seed;
  uint64_t z = seed + 0x9e3779b97f4a7c15 * static_cast<uint64_t>(choice);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

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
                                             kernels::SamplingScratch& scratch,
                                             absl::Span<const uint64_t> allowed) {
  raw_logits_.clear();
  AddBias(logits);
  if (has_penalties()) Penalise(logits);
  const bool are_few = !allowed.empty() && GatherFew(logits, allowed);
  if (!allowed.empty() && !are_few) Forbid(logits, allowed);
  const int32_t token = are_few ? ChooseOfFew(scratch) : ChooseOfAll(logits, scratch);
  if (token < 0 || !std::isfinite(logits[token])) {
    return absl::InternalError(absl::StrCat("the model gave no finite logit at output token ",
                                            num_generated_,
                                            ": the checkpoint's weights are damaged"));
  }
  Take(token);
  return token;
}

int32_t TokenSampler::ChooseOfAll(absl::Span<float> logits, kernels::SamplingScratch& scratch) {
  const bool hides_ends = num_generated_ < settings_.min_tokens;
  const int32_t best = hides_ends ? BestBeforeEnd(logits) : -1;
  // The draw of a broken row is its best logit.
  if (settings_.temperature != 0.0) return Draw(logits, num_generated_, scratch);
  return hides_ends ? best : BestFinite(logits);
}

bool TokenSampler::GatherFew(absl::Span<const float> logits, absl::Span<const uint64_t> allowed) {
  few_ids_.clear();
  few_logits_.clear();
  int64_t count = 0;
  for (const uint64_t bits : allowed) count += std::popcount(bits);
  if (count > kFewMax) return false;
  const int64_t vocab = std::min<int64_t>(logits.size(), num_tokens_known_);
  for (size_t word = 0; word < allowed.size(); ++word) {
    for (uint64_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const int64_t id = static_cast<int64_t>(word) * 64 + std::countr_zero(bits);
      if (id >= vocab) break;
      few_ids_.push_back(static_cast<int32_t>(id));
      few_logits_.push_back(logits[id]);
    }
  }
  return true;
}

int32_t TokenSampler::ChooseOfFew(kernels::SamplingScratch& scratch) {
  const auto is_finite = [](float logit) { return std::isfinite(logit); };
  if (num_generated_ < settings_.min_tokens) {
    hidden_ends_.clear();
    for (size_t i = 0; i < few_ids_.size(); ++i) {
      if (!IsEnd(few_ids_[i])) continue;
      hidden_ends_.emplace_back(static_cast<int32_t>(i), few_logits_[i]);
      few_logits_[i] = kNever;
    }
    // A grammar that allows the end alone is stronger than min_tokens.
    if (std::none_of(few_logits_.begin(), few_logits_.end(), is_finite)) {
      for (const auto& [i, logit] : hidden_ends_) few_logits_[i] = logit;
    }
  }
  if (few_ids_.empty()) return -1;
  const int64_t count = static_cast<int64_t>(few_ids_.size());
  if (settings_.temperature == 0.0) return few_ids_[kernels::ArgMax(few_logits_.data(), count)];
  return few_ids_[kernels::SampleToken(few_logits_.data(), count, Params(), settings_.seed,
                                       static_cast<uint64_t>(num_generated_), scratch)];
}

float TokenSampler::RawLogit(absl::Span<const float> logits, int32_t token) const {
  for (const auto& [id, logit] : raw_logits_) {
    if (id == token) return logit;
  }
  return logits[token];
}

void TokenSampler::AddBias(absl::Span<float> logits) {
  for (const auto& [id, bias] : settings_.logit_bias) {
    if (id < 0 || id >= static_cast<int64_t>(logits.size())) continue;
    raw_logits_.emplace_back(id, logits[id]);
    logits[id] += bias;
  }
}

void TokenSampler::Take(int32_t token) {
  ++num_generated_;
  if (has_penalties()) ++times_output_[token];
}

int32_t TokenSampler::Guess(absl::Span<const float> logits, int64_t index,
                            kernels::SamplingScratch& scratch) const {
  const int32_t best = BestFinite(logits);
  return best < 0 || settings_.temperature == 0.0 ? best : Draw(logits, index, scratch);
}

int32_t TokenSampler::Draw(absl::Span<const float> logits, int64_t index,
                           kernels::SamplingScratch& scratch) const {
  const int64_t vocab = std::min<int64_t>(logits.size(), num_tokens_known_);
  return kernels::SampleToken(logits.data(), vocab, Params(), settings_.seed,
                              static_cast<uint64_t>(index), scratch);
}

kernels::SamplingParams TokenSampler::Params() const {
  return {.temperature = static_cast<float>(settings_.temperature),
          .top_k = settings_.top_k,
          .top_p = static_cast<float>(settings_.top_p),
          .min_p = static_cast<float>(settings_.min_p)};
}

// A broken row is found by its best logit: +inf or nothing finite. (NaN is never chosen.)
int32_t TokenSampler::BestFinite(absl::Span<const float> logits) const {
  const int64_t vocab = std::min<int64_t>(logits.size(), num_tokens_known_);
  const int32_t best = kernels::ArgMax(logits.data(), vocab);
  return best >= 0 && best < vocab && std::isfinite(logits[best]) ? best : -1;
}

int32_t TokenSampler::BestBeforeEnd(absl::Span<float> logits) {
  hidden_ends_.clear();
  for (int32_t id : end_ids_) {
    if (id < 0 || id >= static_cast<int64_t>(logits.size())) continue;
    hidden_ends_.emplace_back(id, logits[id]);
    logits[id] = kNever;
  }
  const int32_t best = BestFinite(logits);
  if (best >= 0) return best;
  // A grammar that allows the end alone is stronger than min_tokens. In reverse, so that an id
  // listed twice gets its first value.
  for (auto end = hidden_ends_.rbegin(); end != hidden_ends_.rend(); ++end) {
    logits[end->first] = end->second;
  }
  return BestFinite(logits);
}

void TokenSampler::Penalise(absl::Span<float> logits) {
  const float repetition = static_cast<float>(settings_.repetition_penalty);
  for (const auto& [id, times] : times_output_) {
    if (id < 0 || id >= static_cast<int64_t>(logits.size())) continue;
    float& logit = logits[id];
    raw_logits_.emplace_back(id, logit);
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
