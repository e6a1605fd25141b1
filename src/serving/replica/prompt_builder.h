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

struct ChatTurn {
  std::string role;
  std::string content;
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
  // template count; written out in a turn they are plain text, so that a turn cannot end itself and
  // speak as somebody else. `variables_json`: an object of template variables, or empty.
  // kInvalidArgument: no turn, an unknown role, bad variables, or the template refuses.
  absl::StatusOr<std::vector<int32_t>> FromChat(const std::vector<ChatTurn>& turns,
                                                absl::string_view variables_json) const;

  // Text of tokens, control tokens left out.
  std::string ToText(const std::vector<int32_t>& tokens) const;

  const models::Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  PromptBuilder(std::unique_ptr<const models::Tokenizer> tokenizer,
                models::ChatTemplate chat_template);
  absl::StatusOr<std::string> Guard(absl::string_view content) const;
  absl::StatusOr<models::OrderedJson> Variables(absl::string_view json) const;
  std::vector<int32_t> EncodeGuarded(absl::string_view text) const;

  std::unique_ptr<const models::Tokenizer> tokenizer_;
  models::ChatTemplate template_;
  std::vector<std::pair<std::string, std::string>> guards_;  // a control token and its guarded form
};

}  // namespace oneai::serving
