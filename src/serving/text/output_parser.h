// File: serving/text/output_parser.h
//
// Splits what a chat model writes into reasoning, content and tool calls, while it is written:
//   characters -> tags -> reasoning | content | tool call (name, then argument text).
//
// The deltas of all calls, put together, do not depend on how the text is cut into pieces. Nothing
// is lost: what looks like a tool call and is none comes out as content, byte for byte. Formats as
// Qwen's chat templates write them.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/json/json_reader.h"

namespace oneai::serving {

enum class ToolCallFormat {
  kNone,    // the model was offered no tools: tags of calls are content
  kHermes,  // <tool_call>{"name": ..., "arguments": {...}}</tool_call> (Qwen2.5, Qwen3)
  // <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>
  kXml,  // (Qwen3-Coder, Qwen3.5)
};

enum class ReasoningFormat {
  kNone,          // <think> is content
  kThinkTags,     // <think>...</think> at the beginning of the answer
  kStartsInside,  // the prompt ended with <think>: the answer begins inside
};

struct OutputFormat {
  ToolCallFormat tool_calls = ToolCallFormat::kNone;
  ReasoningFormat reasoning = ReasoningFormat::kNone;
  // A call of up to so many bytes is shown only when it is complete, so that a malformed one can
  // still come out as content; the arguments of a longer one are streamed as they come.
  size_t hold_bytes = 1024;
  // So many line breaks behind </think> belong to the form; an answer that is held to a grammar has
  // exactly two there, and those after it are its own.
  size_t think_breaks_max = std::numeric_limits<size_t>::max();
};

// The format of a model by the text of its chat template ('<function=': XML; '<tool_call>': hermes)
// and by the end of the rendered prompt (an open <think>: starts inside; a closed one: no reasoning
// follows). `has_tools`: the request offers tools and lets the model call them.
OutputFormat ChooseOutputFormat(absl::string_view chat_template, absl::string_view prompt,
                                bool has_tools);

struct OutputDelta {
  enum class Kind {
    kContent,
    kReasoning,
    kToolCallStart,      // `index` and `name` of a new call; its arguments follow
    kToolCallArguments,  // `text` continues the arguments of call `index`
  };
  Kind kind = Kind::kContent;
  std::string text;
  int32_t index = 0;  // of the tool call, from 0
  std::string name;
  friend bool operator==(const OutputDelta&, const OutputDelta&) = default;
};

// Types of the tools' parameters, for the XML form, which writes values as bare text.
class ToolTypes {
 public:
  // `tools` as in an OpenAI request: [{"type": "function", "function": {"name", "parameters"}}].
  // InvalidArgument: not of that form.
  static absl::StatusOr<ToolTypes> From(const models::Json& tools);

  bool Has(absl::string_view tool) const;
  // The parameter is a string and nothing else, or unknown.
  bool IsString(absl::string_view tool, absl::string_view parameter) const;
  // JSON text of a value that the model wrote as `text`: of one of the types that the schema names
  // if it is one, else a string.
  std::string ToJson(absl::string_view tool, absl::string_view parameter,
                     absl::string_view text) const;

 private:
  const std::vector<std::string>& Types(absl::string_view tool, absl::string_view parameter) const;

  // tool -> parameter -> allowed JSON types ("string", "integer", ...); none: unknown.
  std::map<std::string, std::map<std::string, std::vector<std::string>, std::less<>>, std::less<>>
      types_;
};

// A call whose name has not come within so many bytes is content.
inline constexpr size_t kToolCallBytesMax = 32 << 10;

// Thread-compatible. Holds back at most kToolCallBytesMax bytes, or one XML parameter that is no
// string, of at most 1 MiB. Hermes calls whose "arguments"
// come before their "name" are held until they are complete.
class OutputParser {
 public:
  // Ids of tool calls are the caller's to make: a call is named by its index.
  OutputParser(OutputFormat format, ToolTypes tools);
  ~OutputParser();
  OutputParser(OutputParser&&) noexcept;
  OutputParser& operator=(OutputParser&&) noexcept;

  // What `text`, the next piece of the answer, makes certain. Whole characters in, whole characters
  // out. Neighbouring deltas of one kind are joined.
  std::vector<OutputDelta> Feed(absl::string_view text);
  // The answer has ended (stop or cut off): everything held back. An answer that was cut off inside
  // its reasoning has no content. A call that was cut off after its name has the arguments that
  // came; one that was malformed after its arguments began to be shown keeps those, and the rest of
  // its text is content.
  std::vector<OutputDelta> Finish();

  int32_t num_tool_calls() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace oneai::serving
