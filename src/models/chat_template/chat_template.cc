#include "models/chat_template/chat_template.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/chat_template/text.h"

namespace oneai::models {
namespace {

using jinja::Value;

constexpr int64_t kTemplateBytesMax = 1 << 20;

absl::Status BadMessages(absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("messages: ", message));
}

// The text of the last message: its content, or the last text part of it.
absl::StatusOr<std::string> FinalText(const OrderedJson& messages) {
  const OrderedJson& last = messages.back();
  if (last.is_object() && last.contains("content")) {
    const OrderedJson& content = last["content"];
    if (content.is_string()) return content.get<std::string>();
    if (content.is_array())
      for (auto part = content.rbegin(); part != content.rend(); ++part)
        if (part->is_object() && part->contains("text") && (*part)["text"].is_string())
          return (*part)["text"].get<std::string>();
  }
  return BadMessages("continue_final_message is set, but the last message has no text to continue");
}

// Cuts what the template wrote after the last message's content (as transformers does).
absl::StatusOr<std::string> CutAfter(const std::string& rendered, const std::string& final_text) {
  const std::string stripped = jinja::Strip(final_text, nullptr, true, true);
  const std::string left_stripped = jinja::Strip(final_text, nullptr, true, false);
  const size_t at = rendered.rfind(stripped);
  if (at == rendered.npos)
    return BadMessages(
        "continue_final_message is set, but the chat template does not write the last message as "
        "it is");
  // With its trailing white space when the template keeps that, without when it trims.
  const bool kept =
      rendered.compare(at, left_stripped.size(), left_stripped) == 0 && left_stripped == final_text;
  return rendered.substr(0, at + (kept ? left_stripped.size() : stripped.size()));
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Parse(absl::string_view source) {
  if (static_cast<int64_t>(source.size()) > kTemplateBytesMax)
    return absl::InvalidArgumentError(absl::StrCat(
        "chat template of ", source.size(), " bytes; at most ", kTemplateBytesMax, " are read"));
  ChatTemplate chat_template;
  absl::StatusOr<jinja::Block> block = jinja::ParseTemplate(source);
  if (!block.ok()) return Annotate(block.status(), "chat template");
  chat_template.block_ = std::make_shared<const jinja::Block>(*std::move(block));
  return chat_template;
}

void ChatTemplate::SetVariable(absl::string_view name, absl::string_view value) {
  variables_.emplace_back(name, value);
}

absl::StatusOr<std::string> ChatTemplate::Render(const ChatTemplateInput& input,
                                                 const jinja::RenderLimits& limits) const {
  if (!input.messages.is_array()) return BadMessages("must be a list");
  if (!input.tools.is_null() && !input.tools.is_array())
    return absl::InvalidArgumentError("tools: must be a list");
  if (input.continue_final_message && input.add_generation_prompt)
    return BadMessages("continue_final_message and add_generation_prompt exclude each other");
  if (input.continue_final_message && input.messages.empty())
    return BadMessages("continue_final_message is set, but there are none");
  absl::flat_hash_map<std::string, Value> globals;
  for (const auto& [name, value] : variables_) globals[name] = Value(value);
  if (input.variables.is_object()) {
    for (const auto& [name, value] : input.variables.items()) {
      ASSIGN_OR_RETURN(globals[name], jinja::FromJson(value));
    }
  }
  ASSIGN_OR_RETURN(globals["messages"], jinja::FromJson(input.messages));
  ASSIGN_OR_RETURN(globals["tools"], jinja::FromJson(input.tools));
  globals["documents"] = Value::MakeNone();
  globals["add_generation_prompt"] = Value(input.add_generation_prompt);
  const jinja::TimeFormatter time = [&](absl::string_view format) {
    return absl::FormatTime(format, input.now, input.time_zone);
  };
  ASSIGN_OR_RETURN(std::string rendered, jinja::Render(*block_, std::move(globals), time, limits));
  if (!input.continue_final_message) return rendered;
  ASSIGN_OR_RETURN(std::string final_text, FinalText(input.messages));
  return CutAfter(rendered, final_text);
}

absl::string_view DefaultChatTemplate() {
  return R"({%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
)";
}

}  // namespace oneai::models
