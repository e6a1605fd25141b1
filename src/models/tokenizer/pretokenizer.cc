#include "models/tokenizer/pretokenizer.h"

#include "models/tokenizer/unicode_text.h"

namespace oneai::models {
namespace {

constexpr absl::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr absl::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// The same without an inline flag, for engines that lack it.
constexpr absl::string_view kQwen2RegexNoFlag =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr absl::string_view kQwen35Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr absl::string_view kLlama3Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Char {
  uint32_t code_point;
  CharClass cls;
  size_t end;  // offset after it
};

Char CharAt(absl::string_view text, size_t pos) {
  const uint8_t byte = text[pos];
  if (byte < 0x80) return {byte, ClassOf(byte), pos + 1};
  const Utf8Char c = DecodeUtf8(text, pos);
  return {c.code_point, ClassOf(c.code_point), pos + c.bytes};
}

bool IsNewline(uint32_t code_point) { return code_point == '\r' || code_point == '\n'; }

// Runs while `accept` holds, from `pos`.
template <typename Accept>
size_t RunEnd(absl::string_view text, size_t pos, Accept accept) {
  while (pos < text.size()) {
    const Char c = CharAt(text, pos);
    if (!accept(c)) break;
    pos = c.end;
  }
  return pos;
}

// 's|'t|'re|'ve|'m|'ll|'d after the apostrophe at `pos`; 0 when there is none. Under (?i:) the long
// s (U+017F) folds to s (CaseFolding.txt), as the reference engine has it.
size_t ContractionEnd(absl::string_view text, size_t pos, bool any_case) {
  auto letter = [&](size_t at) -> char {
    if (at >= text.size()) return 0;
    const char c = text[at];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = letter(pos + 1), second = letter(pos + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return pos + 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
      (first == 'l' && second == 'l'))
    return pos + 3;
  if (any_case && text.substr(pos + 1, 2) == "\xC5\xBF") return pos + 3;
  return 0;
}

// \s*[\r\n]+ (when `newlines`), then \s+(?!\S), then \s+, for a run of white space that begins at
// `pos`.
size_t SpaceEnd(absl::string_view text, size_t pos, bool newlines) {
  size_t end = pos, last_start = pos, newline_end = 0;
  while (end < text.size()) {
    const Char c = CharAt(text, end);
    if (c.cls != CharClass::kSpace) break;
    last_start = end;
    end = c.end;
    if (IsNewline(c.code_point)) newline_end = end;
  }
  if (newlines && newline_end != 0) return newline_end;
  if (end == text.size() || last_start == pos) return end;
  return last_start;  // the last space goes with what follows
}

size_t Gpt2End(absl::string_view text, size_t pos) {
  if (text[pos] == '\'')
    if (const size_t end = ContractionEnd(text, pos, false)) return end;
  size_t start = pos;
  if (text[pos] == ' ' && pos + 1 < text.size()) ++start;  // ` ?` before a word, number or symbols
  const CharClass first = CharAt(text, start).cls;
  if (first == CharClass::kSpace) return SpaceEnd(text, pos, false);
  const bool other = first == CharClass::kOther || first == CharClass::kMark;
  return RunEnd(text, start, [&](const Char& c) {
    return c.cls == first || (other && (c.cls == CharClass::kOther || c.cls == CharClass::kMark));
  });
}

// End of a piece of digits, `pos` being behind the first of them.
size_t NumberEnd(absl::string_view text, size_t pos, int digits_max) {
  for (int digits = 1; digits < digits_max && pos < text.size(); ++digits) {
    const Char c = CharAt(text, pos);
    if (c.cls != CharClass::kNumber) break;
    pos = c.end;
  }
  return pos;
}

size_t QwenEnd(absl::string_view text, size_t pos, SplitPattern pattern) {
  const bool marks_are_letters = pattern == SplitPattern::kQwen35;
  if (text[pos] == '\'')
    if (const size_t end = ContractionEnd(text, pos, true)) return end;
  auto is_word = [&](const Char& c) {
    return c.cls == CharClass::kLetter || (marks_are_letters && c.cls == CharClass::kMark);
  };
  // [^\r\n\p{L}\p{N}]?\p{L}+ : a word, with at most one character before it.
  const Char first = CharAt(text, pos);
  if (first.cls == CharClass::kLetter) return RunEnd(text, first.end, is_word);
  if (first.cls == CharClass::kNumber)  // \p{N} or \p{N}{1,3}
    return NumberEnd(text, first.end, pattern == SplitPattern::kLlama3 ? 3 : 1);
  if (!IsNewline(first.code_point)) {
    const size_t end = RunEnd(text, first.end, is_word);
    if (end != first.end || is_word(first)) return end;
  }
  // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
  auto is_symbol = [&](const Char& c) {
    return c.cls == CharClass::kOther || (!marks_are_letters && c.cls == CharClass::kMark);
  };
  const size_t start = first.code_point == ' ' ? first.end : pos;
  const size_t end = RunEnd(text, start, is_symbol);
  if (end != start) return RunEnd(text, end, [](const Char& c) { return IsNewline(c.code_point); });
  return SpaceEnd(text, pos, true);
}

}  // namespace

absl::string_view SplitPatternRegex(SplitPattern pattern) {
  switch (pattern) {
    case SplitPattern::kGpt2:
      return kGpt2Regex;
    case SplitPattern::kQwen2:
      return kQwen2Regex;
    case SplitPattern::kQwen35:
      return kQwen35Regex;
    case SplitPattern::kLlama3:
      return kLlama3Regex;
  }
  return "";
}

std::optional<SplitPattern> ParseSplitPattern(absl::string_view regex) {
  if (regex == kGpt2Regex) return SplitPattern::kGpt2;
  if (regex == kQwen2Regex || regex == kQwen2RegexNoFlag) return SplitPattern::kQwen2;
  if (regex == kQwen35Regex) return SplitPattern::kQwen35;
  if (regex == kLlama3Regex) return SplitPattern::kLlama3;
  return std::nullopt;
}

size_t PieceEnd(absl::string_view text, size_t pos, SplitPattern pattern) {
  if (pattern == SplitPattern::kGpt2) return Gpt2End(text, pos);
  return QwenEnd(text, pos, pattern);
}

void ForEachPiece(absl::string_view text, SplitPattern pattern,
                  absl::FunctionRef<void(absl::string_view)> visit) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = PieceEnd(text, pos, pattern);
    visit(text.substr(pos, end - pos));
    pos = end;
  }
}

}  // namespace oneai::models
