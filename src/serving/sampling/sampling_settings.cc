#include "serving/sampling/sampling_settings.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

constexpr size_t kStopsMax = 16;
constexpr size_t kStopBytesMax = 256;
constexpr size_t kBiasesMax = 1024;
constexpr int32_t kLogProbsMax = 20;

// NaN compares false with everything, so it is refused too.
absl::Status CheckRange(const char* name, double value, double min, double max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; it must be from ", min, " to ", max));
}

absl::Status CheckPositive(const char* name, double value, double max) {
  if (value > 0 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; it must be above 0 and at most ", max));
}

absl::Status CheckLogProbs(const char* name, int32_t value) {
  if (value >= -1 && value <= kLogProbsMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; it must be from 0 to ", kLogProbsMax, ", or -1 (off)"));
}

absl::Status CheckLengths(const SamplingSettings& s) {
  const int64_t least = s.prompt_logprobs >= 0 ? 0 : 1;
  if (s.max_tokens < least) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens is ", s.max_tokens, "; it must be at least ", least));
  }
  if (s.min_tokens < 0 || s.min_tokens > s.max_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "min_tokens is ", s.min_tokens, "; it must be from 0 to max_tokens, ", s.max_tokens));
  }
  return absl::OkStatus();
}

absl::Status CheckStops(const SamplingSettings& s) {
  if (s.stop.size() > kStopsMax || s.stop_token_ids.size() > kStopsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("stop has ", s.stop.size(), " strings and stop_token_ids ",
                     s.stop_token_ids.size(), " ids; at most ", kStopsMax, " of each are allowed"));
  }
  for (const std::string& stop : s.stop) {
    if (stop.empty() || stop.size() > kStopBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("a stop string has ", stop.size(),
                                                     " bytes; it must have 1 to ", kStopBytesMax));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTokenId(const char* name, int32_t id, int64_t vocab_size) {
  if (id >= 0 && id < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " names token id ", id, "; the vocabulary of the model has ids 0 to ", vocab_size - 1));
}

}  // namespace

absl::Status ValidateSampling(const SamplingSettings& s) {
  RETURN_IF_ERROR(CheckRange("temperature", s.temperature, 0, 100));
  RETURN_IF_ERROR(CheckPositive("top_p", s.top_p, 1));
  RETURN_IF_ERROR(CheckRange("min_p", s.min_p, 0, 1));
  RETURN_IF_ERROR(CheckRange("presence_penalty", s.presence_penalty, -2, 2));
  RETURN_IF_ERROR(CheckRange("frequency_penalty", s.frequency_penalty, -2, 2));
  RETURN_IF_ERROR(CheckPositive("repetition_penalty", s.repetition_penalty, 100));
  if (s.top_k < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", s.top_k, "; it must be 0 (off) or more"));
  }
  RETURN_IF_ERROR(CheckLogProbs("logprobs", s.logprobs));
  RETURN_IF_ERROR(CheckLogProbs("prompt_logprobs", s.prompt_logprobs));
  RETURN_IF_ERROR(CheckLengths(s));
  RETURN_IF_ERROR(CheckStops(s));
  if (s.logit_bias.size() > kBiasesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "logit_bias has ", s.logit_bias.size(), " entries; at most ", kBiasesMax, " are allowed"));
  }
  for (const auto& [id, bias] : s.logit_bias) {
    RETURN_IF_ERROR(
        CheckRange(absl::StrCat("logit_bias of token id ", id).c_str(), bias, -100, 100));
  }
  return absl::OkStatus();
}

absl::Status ValidateTokenIds(const SamplingSettings& s, int64_t vocab_size) {
  absl::flat_hash_set<int32_t> biased;
  for (const auto& [id, bias] : s.logit_bias) {
    RETURN_IF_ERROR(CheckTokenId("logit_bias", id, vocab_size));
    if (!biased.insert(id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias names token id ", id, " twice; once is enough"));
    }
  }
  for (int32_t id : s.stop_token_ids) {
    RETURN_IF_ERROR(CheckTokenId("stop_token_ids", id, vocab_size));
  }
  return absl::OkStatus();
}

}  // namespace oneai::serving
