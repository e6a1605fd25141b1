#include "serving/replica/prompt_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// U+FDD0, which Unicode keeps out of interchanged text: stands around control tokens that a caller
// wrote out, from before the template is rendered until the text is encoded. Text that already
// holds one is refused.
constexpr absl::string_view kGuard = "\xEF\xB7\x90";

// Enough to see an open or closed <think> at the end of a prompt.
constexpr size_t kPromptEndBytes = 64;

bool IsKnownRole(absl::string_view role) {
  return role == "system" || role == "user" || role == "assistant" || role == "tool";
}

}  // namespace

absl::StatusOr<PromptBuilder> PromptBuilder::Create(
    std::unique_ptr<const models::Tokenizer> tokenizer, const models::TokenizerConfig& config) {
  const absl::string_view source = config.chat_template.has_value()
                                       ? absl::string_view(*config.chat_template)
                                       : models::DefaultChatTemplate();
  absl::StatusOr<models::ChatTemplate> chat_template = models::ChatTemplate::Parse(source);
  if (!chat_template.ok())
    return Annotate(chat_template.status(), "the model folder's chat template");
  const auto set = [&](absl::string_view name, const std::optional<std::string>& value) {
    if (value.has_value()) chat_template->SetVariable(name, *value);
  };
  set("bos_token", config.bos_token);
  set("eos_token", config.eos_token);
  set("pad_token", config.pad_token);
  set("unk_token", config.unk_token);
  return PromptBuilder(std::move(tokenizer), *std::move(chat_template), std::string(source));
}

PromptBuilder::PromptBuilder(std::unique_ptr<const models::Tokenizer> tokenizer,
                             models::ChatTemplate chat_template, std::string template_source)
    : tokenizer_(std::move(tokenizer)),
      template_(std::move(chat_template)),
      template_source_(std::move(template_source)) {
  for (const models::AddedToken& token : tokenizer_->spec().added_tokens) {
    if (!token.special || token.content.empty()) continue;
    guards_.emplace_back(token.content, absl::StrCat(kGuard, token.content, kGuard));
  }
}

std::vector<int32_t> PromptBuilder::FromText(absl::string_view text) const {
  return tokenizer_->Encode(text, models::SpecialTokens::kParse);
}

std::string PromptBuilder::ToText(const std::vector<int32_t>& tokens) const {
  return tokenizer_->Decode(tokens, models::SpecialText::kSkip);
}

absl::StatusOr<std::string> PromptBuilder::Guard(absl::string_view content) const {
  if (absl::StrContains(content, kGuard)) {
    return absl::InvalidArgumentError("a message holds U+FDD0, which is no character; remove it");
  }
  return absl::StrReplaceAll(content, guards_);
}

absl::StatusOr<models::OrderedJson> PromptBuilder::Variables(absl::string_view json) const {
  if (json.empty()) return models::OrderedJson(nullptr);
  ASSIGN_OR_RETURN(models::OrderedJson variables,
                   models::ParseOrderedJson(json, "template_variables_json"));
  if (!variables.is_object()) {
    return absl::InvalidArgumentError("template_variables_json must be a JSON object");
  }
  for (auto& [key, value] : variables.items()) {
    if (key == "messages" || key == "tools" || key == "add_generation_prompt" ||
        value.is_structured()) {
      return absl::InvalidArgumentError(
          absl::StrCat("template_variables_json: key ", key,
                       " is reserved or not a text, number, or true/false"));
    }
    if (!value.is_string()) continue;
    ASSIGN_OR_RETURN(std::string guarded, Guard(value.get_ref<const std::string&>()));
    value = std::move(guarded);
  }
  return variables;
}

absl::Status PromptBuilder::GuardAll(models::OrderedJson& json) const {
  if (json.is_string()) {
    ASSIGN_OR_RETURN(std::string guarded, Guard(json.get_ref<const std::string&>()));
    json = std::move(guarded);
  } else if (json.is_array()) {
    for (models::OrderedJson& item : json) RETURN_IF_ERROR(GuardAll(item));
  } else if (json.is_object()) {
    models::OrderedJson copy = models::OrderedJson::object();
    for (auto& [key, value] : json.items()) {
      RETURN_IF_ERROR(GuardAll(value));
      ASSIGN_OR_RETURN(const std::string guarded, Guard(key));
      copy[guarded] = std::move(value);
    }
    json = std::move(copy);
  }
  return absl::OkStatus();
}

absl::StatusOr<models::OrderedJson> PromptBuilder::Tools(absl::string_view json) const {
  if (json.empty()) return models::OrderedJson(nullptr);
  ASSIGN_OR_RETURN(models::OrderedJson tools, models::ParseOrderedJson(json, "tools_json"));
  if (!tools.is_array()) return absl::InvalidArgumentError("tools_json must be a JSON array");
  if (tools.empty()) return models::OrderedJson(nullptr);
  RETURN_IF_ERROR(GuardAll(tools));
  return tools;
}

absl::StatusOr<models::OrderedJson> PromptBuilder::Message(const ChatTurn& turn) const {
  if (!IsKnownRole(turn.role)) {
    return absl::InvalidArgumentError(
        absl::StrCat("role \"", turn.role, "\" is none of system, user, assistant, tool"));
  }
  ASSIGN_OR_RETURN(std::string content, Guard(turn.content));
  models::OrderedJson message = {{"role", turn.role}, {"content", std::move(content)}};
  if (!turn.reasoning.empty()) {
    ASSIGN_OR_RETURN(message["reasoning_content"], Guard(turn.reasoning));
  }
  if (!turn.name.empty()) {
    ASSIGN_OR_RETURN(message["name"], Guard(turn.name));
  }
  if (!turn.tool_call_id.empty()) {
    ASSIGN_OR_RETURN(message["tool_call_id"], Guard(turn.tool_call_id));
  }
  for (const ChatToolCall& call : turn.tool_calls) {
    models::OrderedJson arguments = models::OrderedJson::object();
    if (!call.arguments_json.empty()) {
      ASSIGN_OR_RETURN(
          arguments, models::ParseOrderedJson(call.arguments_json, "the arguments of a tool call"));
    }
    if (!arguments.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the arguments of a call of ", call.name, " are not a JSON object"));
    }
    models::OrderedJson function = {{"name", call.name}, {"arguments", std::move(arguments)}};
    RETURN_IF_ERROR(GuardAll(function));
    message["tool_calls"].push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return message;
}

absl::StatusOr<ChatPrompt> PromptBuilder::FromChat(const Chat& chat) const {
  if (chat.turns.empty()) return absl::InvalidArgumentError("messages is empty; send at least one");
  models::ChatTemplateInput input;
  input.add_generation_prompt = true;
  input.now = absl::Now();
  ASSIGN_OR_RETURN(input.variables, Variables(chat.variables_json));
  ASSIGN_OR_RETURN(input.tools, Tools(chat.tools_json));
  for (const ChatTurn& turn : chat.turns) {
    ASSIGN_OR_RETURN(models::OrderedJson message, Message(turn));
    input.messages.push_back(std::move(message));
  }
  ASSIGN_OR_RETURN(const std::string text, template_.Render(input));
  ChatPrompt prompt;
  prompt.tokens = EncodeGuarded(text);
  prompt.end = text.substr(text.size() - std::min(text.size(), kPromptEndBytes));
  return prompt;
}

absl::StatusOr<std::vector<int32_t>> PromptBuilder::FromRerank(absl::string_view instruction,
                                                               absl::string_view query,
                                                               absl::string_view document) const {
  ASSIGN_OR_RETURN(const std::string guarded_instruction, Guard(instruction));
  ASSIGN_OR_RETURN(const std::string guarded_query, Guard(query));
  ASSIGN_OR_RETURN(const std::string guarded_document, Guard(document));
  return EncodeGuarded(absl::StrCat(
      "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
      "and "
      "the Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
      "<|im_start|>user\n<Instruct>: ",
      guarded_instruction, "\n<Query>: ", guarded_query, "\n<Document>: ", guarded_document,
      "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"));
}

// Guards come in pairs, so every second part is a control token that a caller wrote out.
std::vector<int32_t> PromptBuilder::EncodeGuarded(absl::string_view text) const {
  std::vector<int32_t> tokens;
  bool guarded = false;
  for (absl::string_view part : absl::StrSplit(text, kGuard)) {
    const std::vector<int32_t> ids = tokenizer_->Encode(
        part, guarded ? models::SpecialTokens::kAsText : models::SpecialTokens::kParse);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    guarded = !guarded;
  }
  return tokens;
}

}  // namespace oneai::serving
