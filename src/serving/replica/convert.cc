#include "serving/replica/convert.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// Both messages have these fields.
template <typename Message>
void AddFields(const GenerationEvent& event, Message& message) {
  message.mutable_text()->append(event.text);
  message.mutable_token_ids()->Add(event.token_ids.begin(), event.token_ids.end());
  message.set_finish_reason(ToProto(event.finish_reason));
  if (!event.last()) return;
  message.set_stop_string(event.stop_string);
  message.mutable_usage()->set_prompt_tokens(static_cast<int32_t>(event.usage.num_prompt_tokens));
  message.mutable_usage()->set_completion_tokens(
      static_cast<int32_t>(event.usage.num_completion_tokens));
}

}  // namespace

absl::StatusOr<SamplingSettings> ToSamplingSettings(const v1::SamplingParams& params,
                                                    const models::GenerationConfig& model,
                                                    int64_t default_max_tokens,
                                                    uint64_t drawn_seed) {
  SamplingSettings s;
  // A model whose author says do_sample false wants to be decoded greedily.
  s.temperature = model.do_sample.value_or(true) ? model.temperature.value_or(1.0) : 0.0;
  s.top_p = model.top_p.value_or(1.0);
  s.top_k = static_cast<int32_t>(model.top_k.value_or(0));
  s.repetition_penalty = model.repetition_penalty.value_or(1.0);
  if (params.has_temperature()) s.temperature = params.temperature();
  if (params.has_top_p()) s.top_p = params.top_p();
  if (params.has_top_k()) s.top_k = params.top_k();
  if (params.has_min_p()) s.min_p = params.min_p();
  if (params.has_presence_penalty()) s.presence_penalty = params.presence_penalty();
  if (params.has_frequency_penalty()) s.frequency_penalty = params.frequency_penalty();
  if (params.has_repetition_penalty()) s.repetition_penalty = params.repetition_penalty();
  s.seed = params.has_seed() ? static_cast<uint64_t>(params.seed()) : drawn_seed;
  s.max_tokens = params.has_max_tokens() ? params.max_tokens() : default_max_tokens;
  s.min_tokens = params.min_tokens();
  s.stop.assign(params.stop().begin(), params.stop().end());
  s.stop_token_ids.assign(params.stop_token_ids().begin(), params.stop_token_ids().end());
  s.ignore_eos = params.ignore_eos();
  s.include_stop = params.include_stop();
  RETURN_IF_ERROR(ValidateSampling(s));
  return s;
}

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return v1::FINISH_REASON_UNSPECIFIED;
    case FinishReason::kStop:
      return v1::STOP;
    case FinishReason::kLength:
      return v1::LENGTH;
    case FinishReason::kCancelled:
      return v1::CANCELLED;
    case FinishReason::kError:
      return v1::ERROR;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

void AddEvent(const GenerationEvent& event, v1::GenerationChunk& chunk) { AddFields(event, chunk); }
void AddEvent(const GenerationEvent& event, v1::GenerationResponse& response) {
  AddFields(event, response);
}

}  // namespace oneai::serving
