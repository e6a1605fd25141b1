// File: serving/grammar/json_formats.h
//
// The values of "format" that can be held to, as regular expressions over plain characters. Each
// matches a subset of what its RFC allows: the forms that validators agree on.
#pragma once

#include "absl/strings/string_view.h"

namespace oneai::serving {

// A regular expression (RE2 syntax, to match as a whole); empty when the format is not supported.
absl::string_view FormatRegex(absl::string_view format);
// The supported formats, for an error's message.
absl::string_view FormatNames();

}  // namespace oneai::serving
