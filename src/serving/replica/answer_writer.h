// File: serving/replica/answer_writer.h
//
// From the engine's events to the messages of an answer: text is split into content, reasoning and
// tool calls, tokens get their bytes. Streamed and whole answers are written here, so they agree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "oneai/inference/v1/inference.pb.h"
#include "serving/engine/generation.h"
#include "serving/text/output_parser.h"

namespace oneai::serving {

namespace v1 = ::oneai::inference::v1;

// How one answer is to be written.
struct AnswerFormat {
  std::string request_id;
  int64_t seed = 0;
  std::string echo;  // text before the answer, of each choice
  int32_t num_choices = 1;
  bool parses_output = false;  // chat: split by `output` and `tools`; else all text is content
  OutputFormat output;
  ToolTypes tools;
  // What stands around the model's text although the model was not asked to write it: the tags of
  // a call that it must make. An answer that was cut off has no end.
  std::string unwritten_begin, unwritten_end;
  const models::Tokenizer* tokenizer = nullptr;  // for the bytes of log-probabilities
  std::vector<int32_t> prompt;                   // beside the prompt's log-probabilities
};

// Thread-compatible.
class AnswerWriter {
 public:
  explicit AnswerWriter(AnswerFormat format);

  // The message that carries `event`. Events of one choice come in order.
  v1::GenerationChunk Write(const GenerationEvent& event);

 private:
  struct ChoiceState {
    OutputParser parser;
    std::vector<std::string> call_ids;
    bool has_begun = false;
  };
  void WriteDeltas(const std::vector<OutputDelta>& deltas, ChoiceState& choice,
                   v1::GenerationChunk& chunk) const;
  void WriteLogProbs(const GenerationEvent& event, v1::GenerationChunk& chunk) const;

  const AnswerFormat format_;
  std::vector<ChoiceState> choices_;
  bool has_begun_ = false;
};

}  // namespace oneai::serving
