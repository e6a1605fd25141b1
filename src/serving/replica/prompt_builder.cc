#include "serving/replica/prompt_builder.h"

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
  return PromptBuilder(std::move(tokenizer), *std::move(chat_template));
}

PromptBuilder::PromptBuilder(std::unique_ptr<const models::Tokenizer> tokenizer,
                             models::ChatTemplate chat_template)
    : tokenizer_(std::move(tokenizer)), template_(std::move(chat_template)) {
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

absl::StatusOr<std::vector<int32_t>> PromptBuilder::FromChat(
    const std::vector<ChatTurn>& turns, absl::string_view variables_json) const {
  if (turns.empty()) return absl::InvalidArgumentError("messages is empty; send at least one");
  models::ChatTemplateInput input;
  input.add_generation_prompt = true;
  input.now = absl::Now();
  ASSIGN_OR_RETURN(input.variables, Variables(variables_json));
  for (const ChatTurn& turn : turns) {
    if (!IsKnownRole(turn.role)) {
      return absl::InvalidArgumentError(
          absl::StrCat("role \"", turn.role, "\" is none of system, user, assistant, tool"));
    }
    ASSIGN_OR_RETURN(std::string content, Guard(turn.content));
    input.messages.push_back({{"role", turn.role}, {"content", std::move(content)}});
  }
  ASSIGN_OR_RETURN(const std::string text, template_.Render(input));
  return EncodeGuarded(text);
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
