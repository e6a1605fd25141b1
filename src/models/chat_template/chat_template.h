// File: models/chat_template/chat_template.h
//
// Renders messages to the text that a model was trained on, by the template in its folder: the
// subset of Jinja2 that Qwen's templates use, with transformers' environment (trim_blocks,
// lstrip_blocks, loop controls, tojson without HTML escapes, raise_exception, strftime_now). A
// template comes from the model folder, never from a request, and is bounded all the same. Source:
// Jinja2 3.1 documentation; huggingface/transformers, utils/chat_template_utils.py.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "models/chat_template/interpreter.h"
#include "models/json/json_reader.h"

namespace oneai::models {

struct ChatTemplateInput {
  // A list of {"role", "content", ...}, keys in the order of the request.
  OrderedJson messages = OrderedJson::array();
  OrderedJson tools = nullptr;  // null: none
  bool add_generation_prompt = false;
  // Ends the text right after the last message's content, so that the model goes on with it.
  bool continue_final_message = false;
  // Further template variables, e.g. {"enable_thinking": false}; null: none.
  OrderedJson variables = nullptr;
  absl::Time now = absl::UnixEpoch();  // for strftime_now
  absl::TimeZone time_zone = absl::UTCTimeZone();
};

// Immutable and thread-safe.
class ChatTemplate {
 public:
  // Parses `source`. InvalidArgument: a syntax error, with its line. Unimplemented: Jinja that is
  // not supported.
  static absl::StatusOr<ChatTemplate> Parse(absl::string_view source);

  // The text. InvalidArgument: messages that the template refuses (its own words) or that do not
  // fit it, or both add_generation_prompt and continue_final_message. ResourceExhausted: a bound of
  // `limits`.
  absl::StatusOr<std::string> Render(const ChatTemplateInput& input,
                                     const jinja::RenderLimits& limits = {}) const;

  // Special tokens as variables (bos_token, eos_token, ...), which some templates print.
  void SetVariable(absl::string_view name, absl::string_view value);

 private:
  ChatTemplate() = default;
  std::shared_ptr<const jinja::Block> block_;
  std::vector<std::pair<std::string, std::string>> variables_;
};

// ChatML as Qwen3 writes plain messages, for models that are trained here: no default system
// prompt, no tools.
absl::string_view DefaultChatTemplate();

}  // namespace oneai::models
