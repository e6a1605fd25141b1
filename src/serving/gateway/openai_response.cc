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

Json ErrorJson(const absl::Status& status) {
  const ErrorShape shape = ShapeOf(status.code());
  const std::string parameter = ParameterOf(status);
  Json error = {{"message", std::string(status.message())}, {"type", shape.type}};
  error["param"] = parameter.empty() ? Json(nullptr) : Json(parameter);
  error["code"] = shape.code == nullptr ? Json(nullptr) : Json(shape.code);
  return {{"error", std::move(error)}};
}

Json ModelObject(const EndpointView& model) {
  Json json = {{"id", model.name},
               {"object", "model"},
               {"created", model.created_unix},
               {"owned_by", model.business_unit}};
  if (model.max_context_tokens > 0) json["max_model_len"] = model.max_context_tokens;
  if (!model.version.empty()) json["root"] = model.version;
  return json;
}

}  // namespace

std::string WholeAnswerJson(const AnswerHead& head,
                            const inference::v1::GenerationResponse& response) {
  Json json = HeadJson(head, /*is_chunk=*/false);
  Json choice = {{"index", 0}};
  if (head.api == OpenAiApi::kChat) {
    choice["message"] = {{"role", "assistant"}, {"content", response.text()}, {"refusal", nullptr}};
  } else {
    choice["text"] = response.text();
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = FinishJson(response.finish_reason());
  json["choices"] = Json::array({std::move(choice)});
  json["usage"] = UsageJson(response.usage());
  return Dump(json);
}

std::string ChunkFrames(const AnswerHead& head, const inference::v1::GenerationChunk& chunk,
                        bool is_first) {
  const bool is_last = chunk.finish_reason() != inference::v1::FINISH_REASON_UNSPECIFIED;
  std::string frames;
  Json choice = {{"index", 0}};
  if (head.api == OpenAiApi::kChat) {
    Json delta = Json::object();
    if (is_first) delta["role"] = "assistant";
    if (is_first || !chunk.text().empty()) delta["content"] = chunk.text();
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = chunk.text();
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = FinishJson(chunk.finish_reason());
  // A chunk without text (a character's first bytes) says nothing to this API.
  if (is_first || is_last || !chunk.text().empty()) frames = ChoiceFrame(head, std::move(choice));
  if (is_last && head.include_usage) {
    Json json = HeadJson(head, /*is_chunk=*/true);
    json["choices"] = Json::array();
    json["usage"] = UsageJson(chunk.usage());
    frames += Frame(json);
  }
  return frames;
}

std::string ErrorFrame(const absl::Status& status) { return Frame(ErrorJson(status)); }

std::string ModelJson(const EndpointView& model) { return Dump(ModelObject(model)); }

std::string ModelListJson(const std::vector<EndpointView>& models) {
  Json data = Json::array();
  for (const EndpointView& model : models) data.push_back(ModelObject(model));
  return Dump({{"object", "list"}, {"data", std::move(data)}});
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
