// File: serving/gateway/openai_request.cc
#include "serving/gateway/openai_request.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

using inference::v1::SamplingParams;
using Json = nlohmann::json;

constexpr char kParameterPayload[] = "oneai/parameter";
constexpr size_t kStopStringsMax = 16;
constexpr int kDepthMax = 32;

absl::Status Invalid(absl::string_view field, absl::string_view problem) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat("'", field, "' ", problem));
  status.SetPayload(kParameterPayload, absl::Cord(field));
  return status;
}

// nlohmann recurses while it builds; a bound on depth comes first.
absl::StatusOr<Json> ParseObject(absl::string_view body) {
  bool too_deep = false;
  const Json::parser_callback_t watch_depth = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kDepthMax;
    return !too_deep;
  };
  Json json = Json::parse(body, watch_depth, /*allow_exceptions=*/false);
  if (too_deep) return absl::InvalidArgumentError("the body is nested too deeply");
  if (!json.is_object()) return absl::InvalidArgumentError("the body is not a JSON object");
  return json;
}

// Takes fields out of the body one by one and remembers the first problem; what nobody took is
// unknown.
class BodyReader {
 public:
  explicit BodyReader(const Json& body) : body_(body) {}

  // The field, unless it is absent or null, which mean the same in this API.
  const Json* Take(const char* field) {
    taken_.insert(field);
    const auto it = body_.find(field);
    return it == body_.end() || it->is_null() ? nullptr : &*it;
  }
  void Fail(absl::string_view field, absl::string_view problem) {
    status_.Update(Invalid(field, problem));
  }
  template <typename Set>
  void Number(const char* field, double min, double max, Set set) {
    const Json* value = Take(field);
    if (value == nullptr) return;
    if (!value->is_number()) return Fail(field, "must be a number");
    const double number = value->get<double>();
    if (!(number >= min && number <= max)) {
      return Fail(field, absl::StrCat("must be between ", min, " and ", max));
    }
    set(number);
  }
  template <typename Set>
  void Integer(const char* field, int64_t min, int64_t max, Set set) {
    const Json* value = Take(field);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return Fail(field, "must be an integer");
    const bool is_huge = value->is_number_unsigned() &&
                         value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
    const int64_t number = is_huge ? max : value->get<int64_t>();
    if (is_huge || number < min || number > max) {
      return Fail(field, absl::StrCat("must be between ", min, " and ", max));
    }
    set(number);
  }
  bool Boolean(const char* field) {
    const Json* value = Take(field);
    if (value == nullptr) return false;
    if (!value->is_boolean()) Fail(field, "must be true or false");
    return value->is_boolean() && value->get<bool>();
  }
  std::string Text(const char* field) {
    const Json* value = Take(field);
    if (value == nullptr) return "";
    if (!value->is_string()) Fail(field, "must be a string");
    return value->is_string() ? value->get<std::string>() : "";
  }
  // A feature that is not there yet: only values that ask for nothing are accepted.
  void Unsupported(const char* field, const std::set<Json>& harmless) {
    const Json* value = Take(field);
    if (value != nullptr && !harmless.contains(*value)) Fail(field, "is not supported");
  }
  // Fields that do not change the answer.
  void Ignore(std::initializer_list<const char*> fields) {
    for (const char* field : fields) taken_.insert(field);
  }
  absl::Status Finish() const {
    RETURN_IF_ERROR(status_);
    for (const auto& [field, value] : body_.items()) {
      if (taken_.contains(field)) continue;
      const std::optional<std::string> nearest =
          NearestWord(field, std::vector<std::string>(taken_.begin(), taken_.end()));
      return Invalid(field.substr(0, 64),
                     nearest.has_value()
                         ? absl::StrCat("is not a known field; did you mean '", *nearest, "'?")
                         : "is not a known field");
    }
    return absl::OkStatus();
  }

 private:
  const Json& body_;
  std::set<std::string> taken_;
  absl::Status status_;
};

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

void ReadSampling(BodyReader& reader, SamplingParams& sampling) {
  constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
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
  reader.Integer("max_tokens", 1, kInt32Max,
                 [&](int64_t v) { sampling.set_max_tokens(static_cast<int32_t>(v)); });
  reader.Integer("min_tokens", 0, kInt32Max,
                 [&](int64_t v) { sampling.set_min_tokens(static_cast<int32_t>(v)); });
  if (reader.Boolean("ignore_eos")) sampling.set_ignore_eos(true);
  if (reader.Boolean("include_stop_str_in_output")) sampling.set_include_stop(true);
  ReadStops(reader, sampling);
}

// What both calls share beside sampling. Sets stream and include_usage.
void ReadEnvelope(BodyReader& reader, OpenAiRequest& request) {
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
  reader.Integer("n", 1, 128, [&](int64_t n) {
    if (n > 1) reader.Fail("n", "above 1 is not supported; send one request for each choice");
  });
  reader.Unsupported("logit_bias", {Json::object()});
  reader.Unsupported("logprobs", {false, 0});
  reader.Ignore({"user", "metadata", "store", "service_tier", "safety_identifier",
                 "prompt_cache_key", "parallel_tool_calls"});
}

// Text, or a list of parts of type "text".
std::optional<std::string> ContentText(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_null()) return "";
  if (!content.is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && part.value("type", Json()) == "text" &&
                         part.value("text", Json()).is_string();
    if (!is_text) return std::nullopt;
    text += part["text"].get<std::string>();
  }
  return text;
}

void ReadMessages(BodyReader& reader, inference::v1::ChatRequest& chat) {
  const Json* messages = reader.Take("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return reader.Fail("messages", "must be a list of at least one message");
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    const std::string field = absl::StrCat("messages[", i, "]");
    if (!message.is_object() || !message.value("role", Json()).is_string()) {
      return reader.Fail(field, "must be an object with 'role' and 'content'");
    }
    std::string role = message["role"].get<std::string>();
    if (role == "developer") role = "system";  // OpenAI's newer name for the same thing
    if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
      return reader.Fail(field + ".role", "must be system, developer, user, assistant or tool");
    }
    for (const char* key : {"tool_calls", "function_call", "audio"}) {
      if (!message.value(key, Json()).is_null() && !message[key].empty()) {
        return reader.Fail(absl::StrCat(field, ".", key), "is not supported");
      }
    }
    const std::optional<std::string> text = ContentText(message.value("content", Json()));
    if (!text.has_value()) {
      return reader.Fail(field + ".content", "must be text or a list of parts of type text");
    }
    inference::v1::ChatMessage& wire = *chat.add_messages();
    wire.set_role(role);
    wire.set_content(*text);
  }
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

std::string ParameterOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kParameterPayload);
  return payload.has_value() ? std::string(*payload) : "";
}

absl::StatusOr<OpenAiRequest> ParseChatCompletion(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(body));
  BodyReader reader(json);
  OpenAiRequest request;
  inference::v1::ChatRequest chat;
  chat.set_model(reader.Text("model"));
  ReadMessages(reader, chat);
  ReadSampling(reader, *chat.mutable_sampling());
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
  ReadEnvelope(reader, request);
  reader.Unsupported("top_logprobs", {0});
  reader.Unsupported("response_format", {Json{{"type", "text"}}});
  reader.Unsupported("tools", {Json::array()});
  reader.Unsupported("tool_choice", {"none", "auto"});
  reader.Unsupported("functions", {Json::array()});
  reader.Unsupported("function_call", {"none", "auto"});
  reader.Unsupported("modalities", {Json::array({"text"})});
  RETURN_IF_ERROR(reader.Finish());
  request.generation = std::move(chat);
  return request;
}

absl::StatusOr<OpenAiRequest> ParseCompletion(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(body));
  BodyReader reader(json);
  OpenAiRequest request;
  inference::v1::CompletionRequest completion;
  completion.set_model(reader.Text("model"));
  ReadPrompt(reader, completion);
  ReadSampling(reader, *completion.mutable_sampling());
  reader.Integer("priority", -100, 100,
                 [&](int64_t v) { completion.set_priority(static_cast<int32_t>(v)); });
  completion.set_echo(reader.Boolean("echo"));
  ReadEnvelope(reader, request);
  reader.Integer("best_of", 1, 128, [&](int64_t n) {
    if (n > 1) reader.Fail("best_of", "above 1 is not supported");
  });
  reader.Unsupported("suffix", {""});
  RETURN_IF_ERROR(reader.Finish());
  request.generation = std::move(completion);
  return request;
}

}  // namespace oneai::serving
