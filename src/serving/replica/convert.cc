#include "serving/replica/convert.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

constexpr int32_t kChoicesMax = 64;

absl::Status CheckChoices(const char* name, int32_t value, int32_t min) {
  if (value >= min && value <= kChoicesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; it must be from ", min, " to ", kChoicesMax));
}

absl::Status CheckText(const char* name, const std::string& text) {
  if (!text.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("structured.", name, " is empty"));
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
  s.logit_bias.assign(params.logit_bias().begin(), params.logit_bias().end());
  // A map has no order of its own; one request must always be one sequence of additions.
  std::sort(s.logit_bias.begin(), s.logit_bias.end());
  if (params.has_logprobs()) s.logprobs = params.logprobs();
  if (params.has_prompt_logprobs()) s.prompt_logprobs = params.prompt_logprobs();
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

absl::StatusOr<std::optional<GrammarSpec>> ToGrammarSpec(const v1::StructuredOutput& structured) {
  GrammarSpec spec;
  switch (structured.kind_case()) {
    case v1::StructuredOutput::KIND_NOT_SET:
      return std::nullopt;
    case v1::StructuredOutput::kJsonObject:
      if (!structured.json_object()) return std::nullopt;
      spec.kind = GrammarSpec::Kind::kJsonObject;
      break;
    case v1::StructuredOutput::kJsonSchema:
      RETURN_IF_ERROR(CheckText("json_schema", structured.json_schema()));
      spec.kind = GrammarSpec::Kind::kJsonSchema;
      spec.text = structured.json_schema();
      break;
    case v1::StructuredOutput::kRegex:
      RETURN_IF_ERROR(CheckText("regex", structured.regex()));
      spec.kind = GrammarSpec::Kind::kRegex;
      spec.text = structured.regex();
      break;
    case v1::StructuredOutput::kChoice:
      if (structured.choice().choices().empty())
        return absl::InvalidArgumentError("structured.choice has no choices; give at least one");
      spec.kind = GrammarSpec::Kind::kChoice;
      spec.choices.assign(structured.choice().choices().begin(),
                          structured.choice().choices().end());
      break;
    case v1::StructuredOutput::kGrammar:
      RETURN_IF_ERROR(CheckText("grammar", structured.grammar()));
      spec.kind = GrammarSpec::Kind::kEbnf;
      spec.text = structured.grammar();
      break;
  }
  return spec;
}

absl::Status SetChoices(const v1::SamplingParams& params, GenerationRequest& request) {
  request.num_choices = params.has_n() ? params.n() : 1;
  RETURN_IF_ERROR(CheckChoices("n", request.num_choices, 1));
  request.best_of = params.has_best_of() ? params.best_of() : request.num_choices;
  return CheckChoices("best_of", request.best_of, request.num_choices);
}

}  // namespace oneai::serving
