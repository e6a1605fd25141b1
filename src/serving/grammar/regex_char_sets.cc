#include <unicode/uset.h>

#include "absl/strings/str_cat.h"
#include "serving/grammar/regex_syntax.h"

namespace oneai::serving {

CharSet DigitChars() { return {{'0', '9'}}; }
CharSet WordChars() { return MakeCharSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}); }

CharSet SpaceChars(RegexOptions::Dialect dialect) {
  if (dialect == RegexOptions::Dialect::kRe2)
    return MakeCharSet({{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}});
  return MakeCharSet({{'\t', '\r'},
                      {' ', ' '},
                      {0xA0, 0xA0},
                      {0x1680, 0x1680},
                      {0x2000, 0x200A},
                      {0x2028, 0x2029},
                      {0x202F, 0x202F},
                      {0x205F, 0x205F},
                      {0x3000, 0x3000},
                      {0xFEFF, 0xFEFF}});
}

CharSet DotChars(RegexOptions::Dialect dialect) {
  if (dialect == RegexOptions::Dialect::kRe2) return Complement({{'\n', '\n'}});
  return Complement(MakeCharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}));
}

CharSet PosixChars(absl::string_view name) {
  struct Class {
    absl::string_view name;
    std::vector<CharRange> ranges;
  };
  static const std::vector<Class>& classes = *new std::vector<Class>{
      {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
      {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
      {"ascii", {{0, 0x7F}}},
      {"blank", {{'\t', '\t'}, {' ', ' '}}},
      {"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}},
      {"digit", {{'0', '9'}}},
      {"graph", {{'!', '~'}}},
      {"lower", {{'a', 'z'}}},
      {"print", {{' ', '~'}}},
      {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
      {"space", {{'\t', '\r'}, {' ', ' '}}},
      {"upper", {{'A', 'Z'}}},
      {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
      {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
  };
  for (const Class& c : classes) {
    if (c.name == name) return MakeCharSet(c.ranges);
  }
  return {};
}

CharSet UnicodeProperty(absl::string_view name) {
  for (char c : name) {
    // Nothing but a name reaches ICU's pattern parser.
    const bool is_name = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                         (c >= '0' && c <= '9') || c == '=';
    if (!is_name) return {};
  }
  std::u16string pattern = u"[\\p{";
  for (char c : name) pattern.push_back(static_cast<char16_t>(c));
  pattern += u"}]";
  UErrorCode error = U_ZERO_ERROR;
  USet* set = uset_openPattern(pattern.data(), static_cast<int32_t>(pattern.size()), &error);
  std::vector<CharRange> ranges;
  if (U_SUCCESS(error)) {
    for (int32_t i = 0; i < uset_getItemCount(set); ++i) {
      UChar32 first = 0, last = 0;
      UErrorCode item_error = U_ZERO_ERROR;
      if (uset_getItem(set, i, &first, &last, nullptr, 0, &item_error) == 0)
        ranges.push_back({static_cast<uint32_t>(first), static_cast<uint32_t>(last)});
    }
  }
  uset_close(set);
  return MakeCharSet(std::move(ranges));
}

}  // namespace oneai::serving
