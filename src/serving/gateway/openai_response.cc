// File: serving/gateway/openai_response.cc
#include "serving/gateway/openai_response.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "serving/gateway/openai_request.h"
#include "serving/gateway/request_pipeline.h"

namespace oneai::serving {
namespace {

// Fields in the order in which OpenAI's own answers have them: people read these.
using Json = nlohmann::ordered_json;
using inference::v1::FinishReason;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json FinishJson(FinishReason reason) {
  switch (reason) {
    case inference::v1::STOP:
      return "stop";
    case inference::v1::LENGTH:
      return "length";
    case inference::v1::TOOL_CALLS:
      return "tool_calls";
    default:
      return nullptr;
  }
}

Json UsageJson(const inference::v1::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens()},
          {"completion_tokens", usage.completion_tokens()},
          {"total_tokens", usage.prompt_tokens() + usage.completion_tokens()},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_prompt_tokens()}}}};
}

using LogProbs = google::protobuf::RepeatedPtrField<inference::v1::TokenLogProb>;

template <typename Token>
Json TokenJson(const Token& token) {
  Json bytes = Json::array();
  for (const char c : token.token()) bytes.push_back(static_cast<uint8_t>(c));
  return {{"token", token.token()}, {"logprob", token.logprob()}, {"bytes", std::move(bytes)}};
}

Json ChatLogProbsJson(const LogProbs& tokens) {
  if (tokens.empty()) return nullptr;
  Json content = Json::array();
  for (const inference::v1::TokenLogProb& token : tokens) {
    Json json = TokenJson(token);
    json["top_logprobs"] = Json::array();
    for (const auto& other : token.top()) json["top_logprobs"].push_back(TokenJson(other));
    content.push_back(std::move(json));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Code points, which is what OpenAI's offsets count.
int64_t CharactersIn(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

// The older form of completions. `offset`: characters of the answer before these tokens.
Json TextLogProbsJson(const LogProbs& prompt, const LogProbs& tokens, int64_t offset) {
  if (prompt.empty() && tokens.empty()) return nullptr;
  Json texts = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
  for (const LogProbs* part : {&prompt, &tokens}) {
    for (const inference::v1::TokenLogProb& token : *part) {
      texts.push_back(token.token());
      values.push_back(token.logprob());
      Json top = Json::object();
      for (const auto& other : token.top()) top[other.token()] = other.logprob();
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += CharactersIn(token.token());
    }
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(values)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json MessageJson(const inference::v1::Choice& choice) {
  Json message = {{"role", "assistant"}};
  const bool only_calls = choice.text().empty() && choice.tool_calls_size() > 0;
  message["content"] = only_calls ? Json(nullptr) : Json(choice.text());
  message["refusal"] = nullptr;
  if (!choice.reasoning().empty()) message["reasoning_content"] = choice.reasoning();
  for (const inference::v1::ToolCall& call : choice.tool_calls()) {
    message["tool_calls"].push_back(
        {{"id", call.id()},
         {"type", "function"},
         {"function", {{"name", call.name()}, {"arguments", call.arguments_json()}}}});
  }
  return message;
}

Json DeltaJson(const inference::v1::GenerationChunk& chunk, bool is_first) {
  Json delta = Json::object();
  if (is_first) delta["role"] = "assistant";
  if (is_first || !chunk.text().empty()) delta["content"] = chunk.text();
  if (!chunk.reasoning().empty()) delta["reasoning_content"] = chunk.reasoning();
  for (const inference::v1::ToolCallDelta& call : chunk.tool_calls()) {
    Json json = {{"index", call.index()}};
    if (!call.id().empty()) json.update({{"id", call.id()}, {"type", "function"}});
    Json function = Json::object();
    if (!call.name().empty()) function["name"] = call.name();
    function["arguments"] = call.arguments_json();
    json["function"] = std::move(function);
    delta["tool_calls"].push_back(std::move(json));
  }
  return delta;
}

Json HeadJson(const AnswerHead& head, bool is_chunk) {
  const bool is_chat = head.api == OpenAiApi::kChat;
  return {{"id", absl::StrCat(is_chat ? "chatcmpl-" : "cmpl-", head.id)},
          {"object", !is_chat   ? "text_completion"
                     : is_chunk ? "chat.completion.chunk"
                                : "chat.completion"},
          {"created", head.created_unix},
          {"model", head.model}};
}

std::string Frame(const Json& json) { return absl::StrCat("data: ", Dump(json), "\n\n"); }

std::string ChoiceFrame(const AnswerHead& head, Json choice) {
  Json json = HeadJson(head, /*is_chunk=*/true);
  json["choices"] = Json::array({std::move(choice)});
  if (head.include_usage) json["usage"] = nullptr;
  return Frame(json);
}

// How a status looks to HTTP and to OpenAI's clients, which retry 408, 409, 429 and 5xx.
struct ErrorShape {
  int http_status;
  const char* type;
  const char* code;  // null: none
};

ErrorShape ShapeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
      return {400, "invalid_request_error", nullptr};
    case absl::StatusCode::kUnauthenticated:
      return {401, "invalid_request_error", "invalid_api_key"};
    case absl::StatusCode::kPermissionDenied:
      return {403, "permission_error", "permission_denied"};
    case absl::StatusCode::kNotFound:
      return {404, "invalid_request_error", "model_not_found"};
    case absl::StatusCode::kResourceExhausted:
      return {429, "rate_limit_error", "rate_limit_exceeded"};
    case absl::StatusCode::kCancelled:
      return {499, "cancelled", nullptr};
    case absl::StatusCode::kUnimplemented:
      return {501, "invalid_request_error", "unsupported"};
    case absl::StatusCode::kUnavailable:
      return {503, "service_unavailable_error", "unavailable"};
    case absl::StatusCode::kAborted:
      return {503, "service_unavailable_error", "replica_lost"};
    case absl::StatusCode::kDeadlineExceeded:
      return {504, "timeout_error", "deadline_exceeded"};
    default:
      return {500, "server_error", "internal_error"};
  }
}

ErrorShape ShapeOf(int http_status) {
  switch (http_status) {
    case 404:
      return {404, "invalid_request_error", "unknown_url"};
    case 405:
      return {405, "invalid_request_error", "method_not_supported"};
    case 408:
      return {408, "timeout_error", "request_timeout"};
    case 411:
      return {411, "invalid_request_error", "length_required"};
    case 413:
      return {413, "invalid_request_error", "request_too_large"};
    case 431:
      return {431, "invalid_request_error", "headers_too_large"};
    case 503:
      return ShapeOf(absl::StatusCode::kUnavailable);
    default:
      if (http_status >= 500) return {http_status, "server_error", "internal_error"};
      return {http_status, "invalid_request_error", nullptr};
  }
}

Json ErrorJson(const ErrorShape& shape, absl::string_view message, const std::string& parameter) {
  Json error = {{"message", std::string(message)}, {"type", shape.type}};
  error["param"] = parameter.empty() ? Json(nullptr) : Json(parameter);
  error["code"] = shape.code == nullptr ? Json(nullptr) : Json(shape.code);
  return {{"error", std::move(error)}};
}

Json ErrorJson(const absl::Status& status) {
  return ErrorJson(ShapeOf(status.code()), status.message(), ParameterOf(status));
}

// An adapter is listed as vLLM lists it: a model with a parent.
Json ModelObject(const EndpointView& model, const std::string& adapter) {
  Json json = {{"id", adapter.empty() ? model.name : absl::StrCat(model.name, ":", adapter)},
               {"object", "model"},
               {"created", model.created_unix},
               {"owned_by", model.business_unit}};
  if (model.max_context_tokens > 0) json["max_model_len"] = model.max_context_tokens;
  if (!model.version.empty()) json["root"] = model.version;
  if (!adapter.empty()) json["parent"] = model.name;
  return json;
}

}  // namespace

std::string WholeAnswerJson(const AnswerHead& head,
                            const inference::v1::GenerationResponse& response) {
  Json json = HeadJson(head, /*is_chunk=*/false);
  json["choices"] = Json::array();
  for (int i = 0; i < response.choices_size(); ++i) {
    const inference::v1::Choice& from = response.choices(i);
    Json choice = {{"index", i}};
    if (head.api == OpenAiApi::kChat) {
      choice["message"] = MessageJson(from);
      choice["logprobs"] = ChatLogProbsJson(from.logprobs());
    } else {
      choice["text"] = from.text();
      choice["logprobs"] = TextLogProbsJson(response.prompt_logprobs(), from.logprobs(), 0);
    }
    choice["finish_reason"] = FinishJson(from.finish_reason());
    json["choices"].push_back(std::move(choice));
  }
  json["usage"] = UsageJson(response.usage());
  return Dump(json);
}

std::string StreamFrames::Write(const inference::v1::GenerationChunk& chunk) {
  const auto [written, is_first] = written_.emplace(chunk.choice(), 0);
  const bool is_last = chunk.finish_reason() != inference::v1::FINISH_REASON_UNSPECIFIED;
  Json choice = {{"index", chunk.choice()}};
  if (head_.api == OpenAiApi::kChat) {
    choice["delta"] = DeltaJson(chunk, is_first);
    choice["logprobs"] = ChatLogProbsJson(chunk.logprobs());
  } else {
    choice["text"] = chunk.text();
    choice["logprobs"] =
        TextLogProbsJson(chunk.prompt_logprobs(), chunk.logprobs(), written->second);
  }
  choice["finish_reason"] = FinishJson(chunk.finish_reason());
  written->second += CharactersIn(chunk.text());
  // A chunk without text (a character's first bytes) says nothing to this API.
  const bool says_something = is_first || is_last || !chunk.text().empty() ||
                              !chunk.reasoning().empty() || chunk.tool_calls_size() > 0 ||
                              chunk.logprobs_size() > 0;
  std::string frames;
  if (says_something) frames = ChoiceFrame(head_, std::move(choice));
  if (chunk.has_usage() && head_.include_usage) {
    Json json = HeadJson(head_, /*is_chunk=*/true);
    json["choices"] = Json::array();
    json["usage"] = UsageJson(chunk.usage());
    frames += Frame(json);
  }
  return frames;
}

std::string ErrorFrame(const absl::Status& status) { return Frame(ErrorJson(status)); }

std::string ModelJson(const EndpointView& model, const std::string& adapter) {
  return Dump(ModelObject(model, adapter));
}

std::string ModelListJson(const std::vector<EndpointView>& models) {
  Json data = Json::array();
  for (const EndpointView& model : models) {
    data.push_back(ModelObject(model, ""));
    for (const std::string& adapter : model.adapters) data.push_back(ModelObject(model, adapter));
  }
  return Dump({{"object", "list"}, {"data", std::move(data)}});
}

HttpResponse RefusalResponse(int http_status, absl::string_view message) {
  return HttpResponse::Json(http_status, Dump(ErrorJson(ShapeOf(http_status), message, "")));
}

HttpResponse ErrorResponse(const absl::Status& status) {
  HttpResponse response =
      HttpResponse::Json(ShapeOf(status.code()).http_status, Dump(ErrorJson(status)));
  if (absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) {
    const int64_t seconds =
        absl::ToInt64Seconds(absl::Ceil(RetryAfterOf(status), absl::Seconds(1)));
    response.headers.push_back({"Retry-After", absl::StrCat(std::max<int64_t>(1, seconds))});
  }
  if (absl::IsUnauthenticated(status)) {
    response.headers.push_back({"WWW-Authenticate", "Bearer"});
  }
  return response;
}

}  // namespace oneai::serving
