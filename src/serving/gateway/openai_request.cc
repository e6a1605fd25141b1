// File: serving/gateway/openai_request.cc
#include "serving/gateway/openai_request.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/gateway/openai_body.h"
#include "serving/gateway/openai_chat.h"

namespace oneai::serving {
namespace {

using inference::v1::SamplingParams;
using Json = nlohmann::ordered_json;

constexpr size_t kStopStringsMax = 16;
constexpr int64_t kChoicesMax = 64;
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

void ReadStops(BodyReader& reader, SamplingParams& sampling) {
  if (const Json* stop = reader.Take("stop")) {
    const Json list = stop->is_array() ? *stop : Json::array({*stop});
    if (list.size() > kStopStringsMax) reader.Fail("stop", "may hold at most 16 strings");
    for (const Json& item : list) {
      if (!item.is_string() || item.get_ref<const std::string&>().empty()) {
        return reader.Fail("stop", "must be a string or a list of strings that are not empty");
      }
      sampling.add_stop(item.get<std::string>());
    }
  }
  if (const Json* ids = reader.Take("stop_token_ids")) {
    if (!ids->is_array()) return reader.Fail("stop_token_ids", "must be a list of token ids");
    for (const Json& id : *ids) {
      if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<int32_t>::max()) {
        return reader.Fail("stop_token_ids", "must be a list of token ids");
      }
      sampling.add_stop_token_ids(id.get<int32_t>());
    }
  }
}

// `max_tokens_min`: 0 where an answer of no tokens says something (the prompt's log-probabilities).
void ReadSampling(BodyReader& reader, int64_t max_tokens_min, SamplingParams& sampling) {
  reader.Number("temperature", 0, 2, [&](double v) { sampling.set_temperature(v); });
  reader.Number("top_p", 0, 1, [&](double v) { sampling.set_top_p(v); });
  reader.Number("min_p", 0, 1, [&](double v) { sampling.set_min_p(v); });
  reader.Number("presence_penalty", -2, 2, [&](double v) { sampling.set_presence_penalty(v); });
  reader.Number("frequency_penalty", -2, 2, [&](double v) { sampling.set_frequency_penalty(v); });
  reader.Number("repetition_penalty", 0.01, 10,
                [&](double v) { sampling.set_repetition_penalty(v); });
  // vLLM's -1 and ours 0 both mean "off".
  reader.Integer("top_k", -1, kInt32Max, [&](int64_t v) {
    sampling.set_top_k(static_cast<int32_t>(std::max<int64_t>(v, 0)));
  });
  reader.Integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(),
                 [&](int64_t v) { sampling.set_seed(v); });
  reader.Integer("max_tokens", max_tokens_min, kInt32Max,
                 [&](int64_t v) { sampling.set_max_tokens(static_cast<int32_t>(v)); });
  reader.Integer("min_tokens", 0, kInt32Max,
                 [&](int64_t v) { sampling.set_min_tokens(static_cast<int32_t>(v)); });
  if (reader.Boolean("ignore_eos")) sampling.set_ignore_eos(true);
  if (reader.Boolean("include_stop_str_in_output")) sampling.set_include_stop(true);
  ReadStops(reader, sampling);
}

// An object of token ids, as text, and what is added to their logits.
void ReadLogitBias(BodyReader& reader, SamplingParams& sampling) {
  const Json* bias = reader.Take("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) return reader.Fail("logit_bias", "must be an object of token ids");
  for (const auto& [key, value] : bias->items()) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(key, &id) || id < 0) {
      return reader.Fail("logit_bias",
                         absl::StrCat("has \"", key.substr(0, 32), "\", which is no token id"));
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      return reader.Fail("logit_bias",
                         absl::StrCat("of token ", id, " must be a number from -100 to 100"));
    }
    (*sampling.mutable_logit_bias())[id] = value.get<float>();
  }
}

// What both calls share beside sampling. Sets stream and include_usage.
void ReadEnvelope(BodyReader& reader, SamplingParams& sampling, OpenAiRequest& request) {
  request.stream = reader.Boolean("stream");
  if (const Json* options = reader.Take("stream_options")) {
    if (!options->is_object()) {
      reader.Fail("stream_options", "must be an object");
    } else if (!request.stream) {
      reader.Fail("stream_options", "needs 'stream': true");
    } else {
      BodyReader nested(*options);
      request.include_usage = nested.Boolean("include_usage");
      nested.Unsupported("continuous_usage_stats", {false});
      nested.Ignore({"include_obfuscation"});
      if (const absl::Status status = nested.Finish(); !status.ok()) {
        reader.Fail("stream_options", status.message());
      }
    }
  }
  ReadLogitBias(reader, sampling);
  reader.Integer("n", 1, kChoicesMax, [&](int64_t v) { sampling.set_n(static_cast<int32_t>(v)); });
  reader.Ignore(
      {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"});
}

// A string, a list of one string, or a list of token ids.
void ReadPrompt(BodyReader& reader, inference::v1::CompletionRequest& completion) {
  const Json* prompt = reader.Take("prompt");
  if (prompt == nullptr) return reader.Fail("prompt", "is missing");
  if (prompt->is_string()) return completion.set_text(prompt->get<std::string>());
  if (!prompt->is_array() || prompt->empty()) {
    return reader.Fail("prompt", "must be a string or a list of token ids");
  }
  const Json& first = (*prompt)[0];
  if (prompt->size() == 1 && first.is_string())
    return completion.set_text(first.get<std::string>());
  if (first.is_string() || (first.is_array() && prompt->size() > 1)) {
    return reader.Fail("prompt", "may hold one prompt only; send one request for each");
  }
  const Json& ids = first.is_array() ? first : *prompt;
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<int32_t>::max()) {
      return reader.Fail("prompt", "must be a string or a list of token ids");
    }
    completion.mutable_token_ids()->add_ids(id.get<int32_t>());
  }
}

}  // namespace

absl::StatusOr<OpenAiRequest> ParseChatCompletion(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseOpenAiBody(body));
  BodyReader reader(json);
  OpenAiRequest request;
  inference::v1::ChatRequest chat;
  chat.set_model(reader.Text("model"));
  ReadMessages(reader, chat);
  ReadSampling(reader, 1, *chat.mutable_sampling());
  reader.Integer("max_completion_tokens", 1, std::numeric_limits<int32_t>::max(), [&](int64_t v) {
    chat.mutable_sampling()->set_max_tokens(static_cast<int32_t>(v));
  });
  reader.Integer("priority", -100, 100,
                 [&](int64_t v) { chat.set_priority(static_cast<int32_t>(v)); });
  if (const Json* variables = reader.Take("chat_template_kwargs")) {
    if (!variables->is_object()) reader.Fail("chat_template_kwargs", "must be an object");
    chat.set_template_variables_json(
        variables->dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  ReadEnvelope(reader, *chat.mutable_sampling(), request);
  const bool logprobs = reader.Boolean("logprobs");
  if (logprobs) chat.mutable_sampling()->set_logprobs(0);
  reader.Integer("top_logprobs", 0, 20, [&](int64_t v) {
    if (!logprobs) return reader.Fail("top_logprobs", "needs 'logprobs': true");
    chat.mutable_sampling()->set_logprobs(static_cast<int32_t>(v));
  });
  ReadTools(reader, chat);
  ReadStructured(reader, *chat.mutable_structured());
  chat.set_cache_salt(reader.Text("cache_salt"));
  reader.Unsupported("functions", {Json::array()});
  reader.Unsupported("function_call", {"none", "auto"});
  reader.Unsupported("modalities", {Json::array({"text"})});
  RETURN_IF_ERROR(reader.Finish());
  request.generation = std::move(chat);
  return request;
}

absl::StatusOr<OpenAiRequest> ParseCompletion(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseOpenAiBody(body));
  BodyReader reader(json);
  OpenAiRequest request;
  inference::v1::CompletionRequest completion;
  completion.set_model(reader.Text("model"));
  ReadPrompt(reader, completion);
  ReadSampling(reader, 0, *completion.mutable_sampling());
  reader.Integer("priority", -100, 100,
                 [&](int64_t v) { completion.set_priority(static_cast<int32_t>(v)); });
  completion.set_echo(reader.Boolean("echo"));
  ReadEnvelope(reader, *completion.mutable_sampling(), request);
  reader.Integer("best_of", 1, kChoicesMax, [&](int64_t v) {
    completion.mutable_sampling()->set_best_of(static_cast<int32_t>(v));
  });
  reader.Integer("logprobs", 0, 20, [&](int64_t v) {
    completion.mutable_sampling()->set_logprobs(static_cast<int32_t>(v));
    // With echo, the prompt is part of the text, and so are its log-probabilities.
    if (completion.echo())
      completion.mutable_sampling()->set_prompt_logprobs(static_cast<int32_t>(v));
  });
  ReadStructured(reader, *completion.mutable_structured());
  completion.set_cache_salt(reader.Text("cache_salt"));
  reader.Unsupported("suffix", {""});
  RETURN_IF_ERROR(reader.Finish());
  request.generation = std::move(completion);
  return request;
}

}  // namespace oneai::serving
