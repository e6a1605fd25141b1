// File: serving/text/json_quote.h
//
// Text as the inside of a JSON string (RFC 8259, section 7), byte for byte: pieces that are escaped
// apart and put together are what the whole would be.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace oneai::serving {

std::string JsonEscaped(absl::string_view text);
// With the quotes.
std::string JsonQuoted(absl::string_view text);

}  // namespace oneai::serving
