#include "serving/replica/answer_writer.h"

#include <utility>

#include "base/ids.h"
#include "serving/replica/convert.h"

namespace oneai::serving {
namespace {

template <typename Message>
void SetToken(const models::Tokenizer* tokenizer, int32_t id, float logprob, Message& out) {
  out.set_token_id(id);
  out.set_logprob(logprob);
  if (tokenizer == nullptr) return;
  const absl::string_view bytes = tokenizer->TokenBytes(id);
  out.set_token(bytes.data(), bytes.size());
}

}  // namespace

AnswerWriter::AnswerWriter(AnswerFormat format) : format_(std::move(format)) {
  for (int32_t i = 0; i < format_.num_choices; ++i)
    choices_.push_back({OutputParser(format_.output, format_.tools), {}, false});
}

v1::GenerationChunk AnswerWriter::Write(const GenerationEvent& event) {
  ChoiceState& choice = choices_[event.choice];
  v1::GenerationChunk chunk;
  chunk.set_request_id(format_.request_id);
  chunk.set_choice(event.choice);
  if (!std::exchange(has_begun_, true)) chunk.set_seed(format_.seed);
  const bool is_first = !std::exchange(choice.has_begun, true);
  if (is_first) chunk.set_text(format_.echo);
  if (!format_.parses_output) {
    chunk.mutable_text()->append(event.text);
  } else {
    if (is_first) WriteDeltas(choice.parser.Feed(format_.unwritten_begin), choice, chunk);
    WriteDeltas(choice.parser.Feed(event.text), choice, chunk);
  }
  chunk.mutable_token_ids()->Add(event.token_ids.begin(), event.token_ids.end());
  WriteLogProbs(event, chunk);
  if (event.finish_reason != FinishReason::kNone) {
    if (format_.parses_output) {
      if (event.finish_reason == FinishReason::kStop)
        WriteDeltas(choice.parser.Feed(format_.unwritten_end), choice, chunk);
      WriteDeltas(choice.parser.Finish(), choice, chunk);
    }
    const bool calls = !choice.call_ids.empty() && event.finish_reason == FinishReason::kStop;
    chunk.set_finish_reason(calls ? v1::TOOL_CALLS : ToProto(event.finish_reason));
    chunk.set_stop_string(event.stop_string);
  }
  if (event.ends_request) {
    v1::Usage& usage = *chunk.mutable_usage();
    usage.set_prompt_tokens(static_cast<int32_t>(event.usage.num_prompt_tokens));
    usage.set_completion_tokens(static_cast<int32_t>(event.usage.num_completion_tokens));
    usage.set_cached_prompt_tokens(static_cast<int32_t>(event.usage.num_cached_prompt_tokens));
  }
  return chunk;
}

void AnswerWriter::WriteDeltas(const std::vector<OutputDelta>& deltas, ChoiceState& choice,
                               v1::GenerationChunk& chunk) const {
  for (const OutputDelta& delta : deltas) {
    switch (delta.kind) {
      case OutputDelta::Kind::kContent:
        chunk.mutable_text()->append(delta.text);
        break;
      case OutputDelta::Kind::kReasoning:
        chunk.mutable_reasoning()->append(delta.text);
        break;
      case OutputDelta::Kind::kToolCallStart: {
        v1::ToolCallDelta& call = *chunk.add_tool_calls();
        call.set_index(delta.index);
        call.set_id(choice.call_ids.emplace_back(NewId("call_")));
        call.set_name(delta.name);
        break;
      }
      case OutputDelta::Kind::kToolCallArguments: {
        v1::ToolCallDelta& call = *chunk.add_tool_calls();
        call.set_index(delta.index);
        call.set_arguments_json(delta.text);
        break;
      }
    }
  }
}

void AnswerWriter::WriteLogProbs(const GenerationEvent& event, v1::GenerationChunk& chunk) const {
  const auto write = [&](int32_t id, const TokenLogProbs& from, v1::TokenLogProb& out) {
    SetToken(format_.tokenizer, id, from.chosen, out);
    for (size_t i = 0; i < from.top_ids.size(); ++i)
      SetToken(format_.tokenizer, from.top_ids[i], from.top_values[i], *out.add_top());
  };
  for (size_t i = 0; i < event.logprobs.size(); ++i)
    write(event.token_ids[i], event.logprobs[i], *chunk.add_logprobs());
  // The first token of a prompt has nothing before it.
  for (size_t i = 0; i < event.prompt_logprobs.size(); ++i)
    write(format_.prompt[i + 1], event.prompt_logprobs[i], *chunk.add_prompt_logprobs());
}

}  // namespace oneai::serving
