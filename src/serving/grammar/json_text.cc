#include "serving/grammar/json_text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::serving {
namespace {

constexpr int64_t kDigitsMax = 18;
constexpr int64_t kExponentDigitsMax = 2;
constexpr int64_t kIndentMax = 20;
constexpr int64_t kUnbounded = Expr::kUnbounded;

CharSet Digits() { return {{'0', '9'}}; }

// Characters that a JSON string may hold as themselves.
CharSet PlainChars() { return Complement(MakeCharSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}})); }

// The one spelling of a character that may not stand for itself.
std::string EscapeOf(uint32_t c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return absl::StrFormat("\\u%04x", c);
  }
}

}  // namespace

JsonText::JsonText(ExpressionPool& pool, JsonWhitespace whitespace)
    : pool_(pool), whitespace_(whitespace) {}

// A rule of that name, made by `make` (which may call the rule itself) if there is none yet.
template <typename Make>
ExprId JsonText::Once(const char* name, Make make) {
  const auto [it, added] = rules_.try_emplace(name, -1);
  if (!added) return pool_.Call(it->second);
  const RuleId rule = it->second = pool_.AddRule(name);
  pool_.rule(rule).keep = true;
  const ExprId body = make();
  pool_.rule(rule).body = body;
  return pool_.Call(rule);
}

ExprId JsonText::Blank() {
  switch (whitespace_) {
    case JsonWhitespace::kCompact:
      return pool_.Bytes("");
    case JsonWhitespace::kSingleSpace:
      return pool_.Optional(pool_.Bytes(" "));
    case JsonWhitespace::kIndented:
      return pool_.Optional(pool_.Alternate(
          {pool_.Bytes(" "),
           pool_.Concat({pool_.Bytes("\n"),
                         pool_.Repeat(pool_.Chars(MakeCharSet({{'\t', '\t'}, {' ', ' '}})), 0,
                                      kIndentMax)})}));
  }
  return pool_.Bytes("");
}

ExprId JsonText::AfterOpen() {
  return whitespace_ == JsonWhitespace::kIndented ? Blank() : pool_.Bytes("");
}
ExprId JsonText::Comma() { return pool_.Concat({pool_.Bytes(","), Blank()}); }
ExprId JsonText::Colon() { return pool_.Concat({pool_.Bytes(":"), Blank()}); }

ExprId JsonText::Bracketed(absl::string_view open, ExprId members, absl::string_view close,
                           bool may_be_empty) {
  const ExprId full = pool_.Concat({AfterOpen(), members, BeforeClose()});
  return pool_.Concat(
      {pool_.Bytes(open), may_be_empty ? pool_.Optional(full) : full, pool_.Bytes(close)});
}

ExprId JsonText::Value() {
  return Once("json value", [&] {
    return pool_.Alternate({Object(), Array(), String(), Number(), Boolean(), Null()});
  });
}

ExprId JsonText::Object() {
  return Once("json object", [&] {
    const ExprId member = pool_.Concat({String(), Colon(), Value()});
    const ExprId more = pool_.Repeat(pool_.Concat({Comma(), member}), 0, kUnbounded);
    return Bracketed("{", pool_.Concat({member, more}), "}", true);
  });
}

ExprId JsonText::Array() {
  return Once("json array", [&] {
    const ExprId more = pool_.Repeat(pool_.Concat({Comma(), Value()}), 0, kUnbounded);
    return Bracketed("[", pool_.Concat({Value(), more}), "]", true);
  });
}

// One character in any of its spellings.
ExprId JsonText::SpelledChars() {
  const ExprId hex = pool_.Chars(MakeCharSet({{'0', '9'}, {'A', 'F'}, {'a', 'f'}}));
  const ExprId d = pool_.Chars({{'D', 'D'}, {'d', 'd'}});
  auto chars = [&](std::vector<CharRange> ranges) { return pool_.Chars(MakeCharSet(ranges)); };
  const ExprId not_d = chars({{'0', '9'}, {'A', 'C'}, {'a', 'c'}, {'E', 'F'}, {'e', 'f'}});
  const ExprId high = chars({{'8', '9'}, {'A', 'B'}, {'a', 'b'}});
  const ExprId low = chars({{'C', 'F'}, {'c', 'f'}});
  const ExprId unit = pool_.Alternate(
      {pool_.Concat({not_d, hex, hex, hex}), pool_.Concat({d, chars({{'0', '7'}}), hex, hex}),
       pool_.Concat({d, high, hex, hex, pool_.Bytes("\\u"), d, low, hex, hex})});
  const ExprId escape = pool_.Alternate({chars({{'"', '"'},
                                                {'\\', '\\'},
                                                {'/', '/'},
                                                {'b', 'b'},
                                                {'f', 'f'},
                                                {'n', 'n'},
                                                {'r', 'r'},
                                                {'t', 't'}}),
                                         pool_.Concat({pool_.Bytes("u"), unit})});
  return pool_.Alternate({pool_.Chars(PlainChars()), pool_.Concat({pool_.Bytes("\\"), escape})});
}

ExprId JsonText::String() {
  return Once("json string", [&] {
    return pool_.Concat(
        {pool_.Bytes("\""), pool_.Repeat(SpelledChars(), 0, kUnbounded), pool_.Bytes("\"")});
  });
}

ExprId JsonText::Number() {
  return Once("json number", [&] {
    const ExprId digits = pool_.Repeat(pool_.Chars(Digits()), 1, kDigitsMax);
    const ExprId whole = pool_.Alternate(
        {pool_.Bytes("0"), pool_.Concat({pool_.Chars({{'1', '9'}}),
                                         pool_.Repeat(pool_.Chars(Digits()), 0, kDigitsMax - 1)})});
    const ExprId exponent =
        pool_.Concat({pool_.Chars({{'E', 'E'}, {'e', 'e'}}),
                      pool_.Optional(pool_.Chars({{'+', '+'}, {'-', '-'}})),
                      pool_.Repeat(pool_.Chars(Digits()), 1, kExponentDigitsMax)});
    return pool_.Concat({pool_.Optional(pool_.Bytes("-")), whole,
                         pool_.Optional(pool_.Concat({pool_.Bytes("."), digits})),
                         pool_.Optional(exponent)});
  });
}

ExprId JsonText::Integer() {
  return Once("json integer", [&] {
    return pool_.Alternate(
        {pool_.Bytes("0"),
         pool_.Concat({pool_.Optional(pool_.Bytes("-")), pool_.Chars({{'1', '9'}}),
                       pool_.Repeat(pool_.Chars(Digits()), 0, kDigitsMax - 1)})});
  });
}

ExprId JsonText::Boolean() { return pool_.Alternate({pool_.Bytes("true"), pool_.Bytes("false")}); }
ExprId JsonText::Null() { return pool_.Bytes("null"); }

ExprId JsonText::Literal(const models::OrderedJson& value) {
  if (!value.is_structured()) return pool_.Bytes(value.dump());
  std::vector<ExprId> members;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (!members.empty()) members.push_back(Comma());
    if (value.is_object()) {
      members.push_back(pool_.Bytes(models::OrderedJson(it.key()).dump()));
      members.push_back(Colon());
    }
    members.push_back(Literal(*it));
  }
  const bool is_object = value.is_object();
  if (members.empty()) return pool_.Bytes(is_object ? "{}" : "[]");
  return Bracketed(is_object ? "{" : "[", pool_.Concat(std::move(members)), is_object ? "}" : "]",
                   false);
}

ExprId JsonText::CanonicalChar(const CharSet& chars) {
  std::vector<ExprId> spellings;
  const CharSet plain = Intersect(chars, PlainChars());
  if (!plain.empty()) spellings.push_back(pool_.Chars(plain));
  for (CharRange range : Intersect(chars, Complement(PlainChars()))) {
    for (uint32_t c = range.first; c <= range.last; ++c)
      spellings.push_back(pool_.Bytes(EscapeOf(c)));
  }
  return pool_.Alternate(std::move(spellings));
}

ExprId JsonText::QuotedRule(std::string name, ExprId content) {
  const RuleId rule = pool_.AddRule(std::move(name));
  pool_.rule(rule).body = pool_.Concat({pool_.Bytes("\""), content, pool_.Bytes("\"")});
  return pool_.Call(rule);
}

ExprId JsonText::StringOfLength(int64_t min, int64_t max, const std::string& place) {
  if (min == 0 && max == kUnbounded) return String();
  const std::string name = absl::StrCat("string of ", min, " to ", max);
  const auto [it, added] = rules_.try_emplace(name, -1);
  if (added) {
    it->second = pool_.AddRule(name);
    pool_.rule(it->second).keep = true;
    // Without \uXXXX, which would make the automaton of one character half as large again.
    const ExprId one = CanonicalChar(Complement(MakeCharSet({{0, 7}, {11, 11}, {14, 31}})));
    const ExprId repeat = pool_.Repeat(one, min, max);
    pool_.SetPlace(repeat, place);
    pool_.rule(it->second).body = pool_.Concat({pool_.Bytes("\""), repeat, pool_.Bytes("\"")});
  }
  return pool_.Call(it->second);
}

// What may follow the `depth` bytes that names [begin, end) share: the end, unless it is one of
// them; a byte sequence that leads to none of them, then anything; or one that leads to some.
ExprId JsonText::TextExcept(const std::vector<std::string>& names, size_t begin, size_t end,
                            size_t depth) {
  std::vector<ExprId> ways;
  if (names[begin].size() == depth) {
    ++begin;
  } else {
    ways.push_back(pool_.Bytes(""));
  }
  std::vector<CharRange> used;
  while (begin < end) {
    const models::Utf8Char c = models::DecodeUtf8(names[begin], depth);
    size_t last = begin;
    while (last < end && models::DecodeUtf8(names[last], depth).code_point == c.code_point) ++last;
    used.push_back({c.code_point, c.code_point});
    ways.push_back(pool_.Concat({CanonicalChar({{c.code_point, c.code_point}}),
                                 TextExcept(names, begin, last, depth + c.bytes)}));
    begin = last;
  }
  const ExprId any = pool_.Repeat(CanonicalChar(Complement({})), 0, kUnbounded);
  ways.push_back(pool_.Concat({CanonicalChar(Complement(MakeCharSet(used))), any}));
  return pool_.Alternate(std::move(ways));
}

ExprId JsonText::ContentExcept(const std::vector<std::string>& names) {
  if (names.empty()) return pool_.Repeat(CanonicalChar(Complement({})), 0, kUnbounded);
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return TextExcept(sorted, 0, sorted.size(), 0);
}

ExprId JsonText::StringExcept(const std::vector<std::string>& names) {
  if (names.empty()) return String();
  const ExprId content = ContentExcept(names);
  const RuleId rule = pool_.AddRule(absl::StrCat("key other than '", names[0], "'"));
  pool_.rule(rule).keep = true;
  pool_.rule(rule).body = pool_.Concat({pool_.Bytes("\""), content, pool_.Bytes("\"")});
  return pool_.Call(rule);
}

}  // namespace oneai::serving
