// File: serving/replica/prompt_builder.h
//
// From what a caller wrote to the tokens that the model reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/chat_template/chat_template.h"
#include "models/tokenizer/tokenizer.h"

namespace oneai::serving {

struct ChatToolCall {
  std::string id, name;
  std::string arguments_json;  // an object
};

struct ChatTurn {
  std::string role;
  std::string content;
  std::string reasoning;                 // of an assistant
  std::vector<ChatToolCall> tool_calls;  // of an assistant
  std::string tool_call_id, name;        // of a tool
};

struct Chat {
  std::vector<ChatTurn> turns;
  std::string tools_json;      // array of tools as in an OpenAI request; empty: none
  std::string variables_json;  // object of template variables; empty: none
};

// A chat as the model reads it.
struct ChatPrompt {
  std::vector<int32_t> tokens;
  std::string end;  // the last characters of its text: whether the answer starts inside <think>
};

// Immutable; thread-safe.
class PromptBuilder {
 public:
  // With the template and the special tokens of `config`; ChatML when it has no template.
  // kInvalidArgument, kUnimplemented: the template does not parse.
  static absl::StatusOr<PromptBuilder> Create(std::unique_ptr<const models::Tokenizer> tokenizer,
                                              const models::TokenizerConfig& config);

  // The caller wrote the whole prompt, so control tokens in it count.
  std::vector<int32_t> FromText(absl::string_view text) const;

  // Renders the turns with the template and the prompt for an answer. Control tokens of the
  // template count; written out in a turn, a tool or a variable they are plain text, so that a turn
  // cannot end itself and speak as somebody else. kInvalidArgument: no turn, an unknown role, bad
  // tools, variables or arguments, or the template refuses.
  absl::StatusOr<ChatPrompt> FromChat(const Chat& chat) const;

  // A question to a Qwen3 reranker: does `document` answer `query`? Source: the model card of
  // Qwen3-Reranker. kInvalidArgument as FromChat.
  absl::StatusOr<std::vector<int32_t>> FromRerank(absl::string_view instruction,
                                                  absl::string_view query,
                                                  absl::string_view document) const;

  // Text of tokens, control tokens left out.
  std::string ToText(const std::vector<int32_t>& tokens) const;

  const models::Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::string& template_source() const { return template_source_; }

 private:
  PromptBuilder(std::unique_ptr<const models::Tokenizer> tokenizer,
                models::ChatTemplate chat_template, std::string template_source);
  absl::StatusOr<std::string> Guard(absl::string_view content) const;
  // Guards every text in `json`, keys too.
  absl::Status GuardAll(models::OrderedJson& json) const;
  absl::StatusOr<models::OrderedJson> Variables(absl::string_view json) const;
  absl::StatusOr<models::OrderedJson> Tools(absl::string_view json) const;
  absl::StatusOr<models::OrderedJson> Message(const ChatTurn& turn) const;
  std::vector<int32_t> EncodeGuarded(absl::string_view text) const;

  std::unique_ptr<const models::Tokenizer> tokenizer_;
  models::ChatTemplate template_;
  std::string template_source_;
  std::vector<std::pair<std::string, std::string>> guards_;  // a control token and its guarded form
};

}  // namespace oneai::serving
