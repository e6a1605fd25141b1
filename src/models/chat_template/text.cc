#include "models/chat_template/text.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "models/tokenizer/unicode_text.h"

namespace oneai::models::jinja {
namespace {

// str.isspace(): White_Space and the four information separators.
bool IsSpace(uint32_t code_point) {
  return ClassOf(code_point) == CharClass::kSpace || (code_point >= 0x1C && code_point <= 0x1F);
}

bool InSet(uint32_t code_point, const std::string* chars) {
  if (chars == nullptr) return IsSpace(code_point);
  for (size_t pos = 0; pos < chars->size();) {
    const Utf8Char c = DecodeUtf8(*chars, pos);
    if (c.code_point == code_point) return true;
    pos += c.bytes;
  }
  return false;
}

// Offset of the character that ends at `end`.
size_t CharBefore(absl::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && end - start < 4 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80)
    --start;
  return start + DecodeUtf8(text, start).bytes == end ? start : end - 1;
}

template <typename Change>
std::string Changed(absl::string_view text, Change change) {
  icu::UnicodeString unicode = icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  change(unicode);
  std::string out;
  unicode.toUTF8String(out);
  return out;
}

}  // namespace

size_t CountChars(absl::string_view text) {
  size_t count = 0;
  for (size_t pos = 0; pos < text.size(); ++count) pos += DecodeUtf8(text, pos).bytes;
  return count;
}

std::string Strip(absl::string_view text, const std::string* chars, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const Utf8Char c = DecodeUtf8(text, begin);
    if (!InSet(c.code_point, chars)) break;
    begin += c.bytes;
  }
  while (right && end > begin) {
    const size_t start = CharBefore(text, end);
    if (start < begin || !InSet(DecodeUtf8(text, start).code_point, chars)) break;
    end = start;
  }
  return std::string(text.substr(begin, end - begin));
}

std::vector<std::string> SplitOnSpace(absl::string_view text, int64_t splits) {
  std::vector<std::string> parts;
  auto skip = [&](size_t pos, bool space) {
    while (pos < text.size()) {
      const Utf8Char c = DecodeUtf8(text, pos);
      if (IsSpace(c.code_point) != space) break;
      pos += c.bytes;
    }
    return pos;
  };
  for (size_t pos = skip(0, true); pos < text.size(); pos = skip(pos, true)) {
    if (static_cast<int64_t>(parts.size()) == splits) {
      parts.push_back(Strip(text.substr(pos), nullptr, false, true));
      break;
    }
    const size_t end = skip(pos, false);
    parts.emplace_back(text.substr(pos, end - pos));
    pos = end;
  }
  return parts;
}

std::vector<std::string> SplitLines(absl::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find_first_of("\r\n");
    lines.emplace_back(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + (text.substr(end, 2) == "\r\n" ? 2 : 1));
  }
  return lines;
}

std::string ToUpper(absl::string_view text) {
  return Changed(text, [](icu::UnicodeString& s) { s.toUpper(icu::Locale::getRoot()); });
}

std::string ToLower(absl::string_view text) {
  return Changed(text, [](icu::UnicodeString& s) { s.toLower(icu::Locale::getRoot()); });
}

// str.title(): a letter is upper case after a non-letter and lower case after a letter.
std::string ToTitle(absl::string_view text) {
  std::string out;
  bool after_letter = false;
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = DecodeUtf8(text, pos);
    const absl::string_view one = text.substr(pos, c.bytes);
    const bool letter = ClassOf(c.code_point) == CharClass::kLetter;
    if (!letter) {
      out.append(one.data(), one.size());
    } else if (after_letter) {
      out += ToLower(one);
    } else {
      AppendUtf8(static_cast<uint32_t>(u_totitle(static_cast<UChar32>(c.code_point))), out);
    }
    after_letter = letter;
    pos += c.bytes;
  }
  return out;
}

std::string Capitalize(absl::string_view text) {
  if (text.empty()) return "";
  const Utf8Char first = DecodeUtf8(text, 0);
  std::string out;
  if (first.code_point == kIllFormed) {
    out.push_back(text[0]);
  } else {
    AppendUtf8(static_cast<uint32_t>(u_totitle(static_cast<UChar32>(first.code_point))), out);
  }
  return out + ToLower(text.substr(first.bytes));
}

}  // namespace oneai::models::jinja
