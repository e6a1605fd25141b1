// File: serving/replica/tool_choice.h
//
// Whether the model may, must or must not call the tools that a chat offers.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "models/json/json_reader.h"

namespace oneai::serving {

struct ToolChoice {
  bool offered = false;     // the template shows the tools, and calls are looked for in the answer
  std::string call_schema;  // not empty: the answer must be one call, of this JSON schema
};

// `tools_json` and `tool_choice` as in ChatRequest. kInvalidArgument: tools that are not OpenAI's
// function tools, a choice that needs tools where there are none, or a function that is not
// offered.
absl::StatusOr<ToolChoice> ReadToolChoice(const std::string& tools_json,
                                          const std::string& tool_choice);

}  // namespace oneai::serving
