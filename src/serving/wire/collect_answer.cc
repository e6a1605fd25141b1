#include "serving/wire/collect_answer.h"

namespace oneai::serving {
namespace {

namespace v1 = ::oneai::inference::v1;

void AddToolCalls(const v1::GenerationChunk& chunk, v1::Choice& choice) {
  for (const v1::ToolCallDelta& delta : chunk.tool_calls()) {
    while (choice.tool_calls_size() <= delta.index()) choice.add_tool_calls();
    v1::ToolCall& call = *choice.mutable_tool_calls(delta.index());
    if (!delta.id().empty()) call.set_id(delta.id());
    call.mutable_name()->append(delta.name());
    call.mutable_arguments_json()->append(delta.arguments_json());
  }
}

}  // namespace

void AddChunk(const v1::GenerationChunk& chunk, v1::GenerationResponse& response) {
  if (!chunk.request_id().empty()) response.set_request_id(chunk.request_id());
  if (chunk.seed() != 0) response.set_seed(chunk.seed());
  if (chunk.has_usage()) *response.mutable_usage() = chunk.usage();
  response.mutable_prompt_logprobs()->MergeFrom(chunk.prompt_logprobs());
  while (response.choices_size() <= chunk.choice()) response.add_choices();
  v1::Choice& choice = *response.mutable_choices(chunk.choice());
  choice.mutable_text()->append(chunk.text());
  choice.mutable_reasoning()->append(chunk.reasoning());
  AddToolCalls(chunk, choice);
  choice.mutable_token_ids()->MergeFrom(chunk.token_ids());
  choice.mutable_logprobs()->MergeFrom(chunk.logprobs());
  if (chunk.finish_reason() != v1::FINISH_REASON_UNSPECIFIED) {
    choice.set_finish_reason(chunk.finish_reason());
    choice.set_stop_string(chunk.stop_string());
  }
}

}  // namespace oneai::serving
