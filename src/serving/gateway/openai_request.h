// File: serving/gateway/openai_request.h
//
// Reading the bodies of OpenAI's completion and chat-completion calls. Pure. What the gateway
// cannot do is refused by name: a field that would change the answer is never ignored. Source:
// OpenAI API reference; extra sampling fields as vLLM has them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serving/gateway/generation_relay.h"

namespace oneai::serving {

struct OpenAiRequest {
  GenerationRequest generation;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
};

// InvalidArgument: the message names the field; ParameterOf() gives it alone.
absl::StatusOr<OpenAiRequest> ParseChatCompletion(absl::string_view body);
absl::StatusOr<OpenAiRequest> ParseCompletion(absl::string_view body);

// The request field that an error is about; empty when it is about none.
std::string ParameterOf(const absl::Status& status);

}  // namespace oneai::serving
