// File: model_platform/data/chat_template.h
//
// The chat template of models pre-trained here: ChatML, as Qwen's base models carry it.
#pragma once

#include "absl/strings/string_view.h"

namespace oneai::platform {

inline constexpr absl::string_view kChatMlTemplate =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

}  // namespace oneai::platform
