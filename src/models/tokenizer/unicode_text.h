// File: models/tokenizer/unicode_text.h
//
// The few questions that a byte-level tokenizer asks about Unicode: what class a character is of,
// and what the NFC form of a text is. Text is UTF-8 that may be ill-formed; an ill-formed byte
// counts as one character of class "other", so nothing is lost on the way to bytes. Source: Unicode
// 15 through ICU; classes as in regular expressions (\p{L}, \p{N}, \p{M}, and \s = White_Space).
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace oneai::models {

enum class CharClass : uint8_t { kLetter, kNumber, kMark, kSpace, kOther };

// One decoded character. `bytes` is 1 for an ill-formed byte, whose code point is kIllFormed.
struct Utf8Char {
  uint32_t code_point;
  uint32_t bytes;
};
inline constexpr uint32_t kIllFormed = 0xFFFFFFFF;

// Decodes the character at `pos`, which must be < text.size(). Overlong forms, surrogates and
// values above U+10FFFF are ill-formed (Unicode table 3-7).
Utf8Char DecodeUtf8(absl::string_view text, size_t pos);

CharClass ClassOf(uint32_t code_point);

// Appends `code_point` in UTF-8.
void AppendUtf8(uint32_t code_point, std::string& out);

// Normalization form C. Ill-formed bytes pass through. Text that is already NFC costs one scan.
std::string ToNfc(absl::string_view text);

// Replaces each maximal ill-formed part by U+FFFD, as Rust's from_utf8_lossy and Python's
// errors="replace" do (Unicode 15, section 3.9, "Substitution of Maximal Subparts").
std::string ReplaceIllFormed(absl::string_view bytes);

// Length of the tail of `bytes` (0 to 3) that is a proper prefix of a well-formed sequence.
size_t IncompleteTailBytes(absl::string_view bytes);

}  // namespace oneai::models
