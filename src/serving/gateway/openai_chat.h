// File: serving/gateway/openai_chat.h
//
// The parts of OpenAI's request bodies that are more than numbers: messages with tool calls, tools
// and their choice, and what the answer must look like. Source: OpenAI API reference; `guided_*`
// and `structured_outputs` as vLLM has them.
#pragma once

#include "oneai/inference/v1/inference.pb.h"
#include "serving/gateway/openai_body.h"

namespace oneai::serving {

// `messages`. The role developer is OpenAI's newer name for system.
void ReadMessages(BodyReader& reader, inference::v1::ChatRequest& chat);

// `tools`, `tool_choice`, `parallel_tool_calls`.
void ReadTools(BodyReader& reader, inference::v1::ChatRequest& chat);

// `response_format`, `structured_outputs`, `guided_json|regex|choice|grammar`: at most one of them.
void ReadStructured(BodyReader& reader, inference::v1::StructuredOutput& structured);

}  // namespace oneai::serving
