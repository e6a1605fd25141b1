// File: models/chat_template/text.h
//
// Python's string operations on UTF-8: characters are code points, white space is str.isspace().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::models::jinja {

size_t CountChars(absl::string_view text);

// Removes from the chosen ends the characters in `*chars`, or white space when it is null.
std::string Strip(absl::string_view text, const std::string* chars, bool left, bool right);

// str.split() without a separator; at most `splits` cuts when >= 0.
std::vector<std::string> SplitOnSpace(absl::string_view text, int64_t splits);

// str.splitlines() for \n, \r and \r\n.
std::vector<std::string> SplitLines(absl::string_view text);

std::string ToUpper(absl::string_view text);
std::string ToLower(absl::string_view text);
std::string ToTitle(absl::string_view text);
std::string Capitalize(absl::string_view text);

}  // namespace oneai::models::jinja
