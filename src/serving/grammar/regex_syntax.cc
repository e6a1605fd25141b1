#include "serving/grammar/regex_syntax.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::serving {
namespace {

constexpr int64_t kCountMax = 1'000'000'000;

using Kind = RegexNode::Kind;
using Dialect = RegexOptions::Dialect;

class SyntaxParser {
 public:
  SyntaxParser(absl::string_view text, const RegexOptions& options)
      : text_(text), options_(options) {}

  absl::StatusOr<RegexNode> Parse() {
    ASSIGN_OR_RETURN(RegexNode node, Alternation(0));
    if (at_ < text_.size()) return Error(at_, "')' without '('");
    return node;
  }

 private:
  absl::Status Error(size_t offset, absl::string_view message) const {
    return RegexError(options_, offset, message);
  }
  bool More() const { return at_ < text_.size(); }
  bool Take(absl::string_view expected) {
    if (!absl::StartsWith(text_.substr(at_), expected)) return false;
    at_ += expected.size();
    return true;
  }

  absl::StatusOr<RegexNode> Alternation(int nesting) {
    if (nesting > options_.nesting_max)
      return Error(at_, absl::StrCat("more than ", options_.nesting_max, " brackets are open"));
    RegexNode node = {.kind = Kind::kAlternate, .offset = at_};
    do {
      RegexNode branch = {.kind = Kind::kConcat, .offset = at_};
      while (More() && text_[at_] != '|' && text_[at_] != ')') {
        ASSIGN_OR_RETURN(RegexNode piece, Piece(nesting));
        branch.children.push_back(std::move(piece));
      }
      node.children.push_back(std::move(branch));
    } while (Take("|"));
    if (node.children.size() == 1) return std::move(node.children[0]);
    return node;
  }

  absl::StatusOr<RegexNode> Piece(int nesting) {
    const size_t begin = at_;
    ASSIGN_OR_RETURN(RegexNode atom, Atom(nesting));
    const size_t offset = at_;
    ASSIGN_OR_RETURN(const auto count, Quantifier());
    if (!count.has_value()) return atom;
    if (atom.kind == Kind::kTextStart || atom.kind == Kind::kTextEnd)
      return Error(offset, "an anchor cannot be repeated");
    Take("?");  // a lazy quantifier matches the same texts
    if (More() && text_[at_] == '+')
      return Error(at_, "possessive quantifiers are not supported; leave out the '+'");
    if (AtQuantifier()) return Error(at_, "a quantifier follows a quantifier");
    RegexNode repeat = {.kind = Kind::kRepeat, .offset = begin};
    repeat.min = count->first;
    repeat.max = count->second;
    repeat.children.push_back(std::move(atom));
    return repeat;
  }
  bool AtQuantifier() const { return More() && (text_[at_] == '*' || text_[at_] == '?'); }

  using Count = std::pair<int64_t, int64_t>;
  absl::StatusOr<std::optional<Count>> Quantifier() {
    if (Take("*")) return Count{0, Expr::kUnbounded};
    if (Take("+")) return Count{1, Expr::kUnbounded};
    if (Take("?")) return Count{0, 1};
    const size_t begin = at_;
    if (!Take("{")) return std::nullopt;
    const std::optional<int64_t> min = Number();
    const bool has_comma = Take(",");
    const std::optional<int64_t> max = Number();
    if (!Take("}") || (!min.has_value() && !max.has_value())) {
      at_ = begin;  // an ordinary brace
      return std::nullopt;
    }
    if (!min.has_value()) return Error(begin, "write {0,n} for {,n}");
    if (!has_comma) return Count{*min, *min};
    if (max.has_value() && *max < *min) return Error(begin, "the counts are in the wrong order");
    return Count{*min, max.value_or(Expr::kUnbounded)};
  }

  std::optional<int64_t> Number() {
    const size_t begin = at_;
    // RE2 reads {007} as ordinary characters.
    if (options_.dialect == Dialect::kRe2 && absl::StartsWith(text_.substr(at_), "0") &&
        at_ + 1 < text_.size() && absl::ascii_isdigit(text_[at_ + 1]))
      return std::nullopt;
    int64_t value = 0;
    for (; More() && absl::ascii_isdigit(text_[at_]); ++at_)
      value = std::min(kCountMax, value * 10 + (text_[at_] - '0'));
    if (at_ == begin) return std::nullopt;
    return value;
  }

  RegexNode CharsNode(size_t offset, CharSet chars) const {
    return {.kind = Kind::kChars, .chars = std::move(chars), .offset = offset};
  }

  absl::StatusOr<RegexNode> Atom(int nesting) {
    const size_t offset = at_;
    switch (text_[at_]) {
      case '(':
        return Group(nesting);
      case '[':
        return Class();
      case '.':
        ++at_;
        return CharsNode(offset, DotChars(options_.dialect));
      case '^':
        ++at_;
        return RegexNode{.kind = Kind::kTextStart, .offset = offset};
      case '$':
        ++at_;
        return RegexNode{.kind = Kind::kTextEnd, .offset = offset};
      case '*':
      case '+':
      case '?':
        return Error(offset, "nothing to repeat");
      case '\\': {
        if (Take("\\A")) return RegexNode{.kind = Kind::kTextStart, .offset = offset};
        if (Take("\\z")) return RegexNode{.kind = Kind::kTextEnd, .offset = offset};
        ASSIGN_OR_RETURN(CharSet chars, Escape());
        return CharsNode(offset, std::move(chars));
      }
      default: {
        ASSIGN_OR_RETURN(const uint32_t c, Character());
        return CharsNode(offset, {{c, c}});
      }
    }
  }

  absl::StatusOr<RegexNode> Group(int nesting) {
    const size_t begin = at_++;
    if (Take("?")) {
      if (Take("P<") ||
          (absl::StartsWith(text_.substr(at_), "<") && !absl::StartsWith(text_.substr(at_), "<=") &&
           !absl::StartsWith(text_.substr(at_), "<!") && Take("<"))) {
        const size_t end = text_.find('>', at_);
        if (end == absl::string_view::npos) return Error(begin, "the group's name has no end");
        at_ = end + 1;
      } else if (!Take(":")) {
        const bool is_look = absl::StartsWith(text_.substr(at_), "=") ||
                             absl::StartsWith(text_.substr(at_), "!") ||
                             absl::StartsWith(text_.substr(at_), "<");
        return Error(begin, is_look ? "look-ahead and look-behind are not supported"
                                    : "flags are not supported; write both cases as [aA]");
      }
    }
    ASSIGN_OR_RETURN(RegexNode inner, Alternation(nesting + 1));
    if (!Take(")")) return Error(begin, "'(' is not closed");
    return inner;
  }

  absl::StatusOr<uint32_t> Character() {
    const models::Utf8Char c = models::DecodeUtf8(text_, at_);
    if (c.code_point == models::kIllFormed) return Error(at_, "not UTF-8");
    at_ += c.bytes;
    return c.code_point;
  }

  absl::StatusOr<RegexNode> Class() {
    const size_t begin = at_++;
    const bool negated = Take("^");
    std::vector<CharRange> ranges;
    auto add = [&](const CharSet& set) { ranges.insert(ranges.end(), set.begin(), set.end()); };
    for (bool first = true;; first = false) {
      if (!More()) return Error(begin, "'[' is not closed");
      // In ECMA-262 [] is the empty set; elsewhere a first ']' is an ordinary character.
      if ((!first || options_.dialect == Dialect::kEcma) && Take("]")) break;
      if (Take("[:")) {
        const size_t end = text_.find(":]", at_);
        const absl::string_view name =
            end == absl::string_view::npos ? "" : text_.substr(at_, end - at_);
        const CharSet set = PosixChars(absl::StripPrefix(name, "^"));
        if (set.empty()) return Error(at_ - 2, "no such class of characters");
        add(absl::StartsWith(name, "^") ? Complement(set) : set);
        at_ = end + 2;
        continue;
      }
      ASSIGN_OR_RETURN(const CharSet low, ClassMember());
      const bool is_one = low.size() == 1 && low[0].first == low[0].last;
      if (!is_one || !absl::StartsWith(text_.substr(at_), "-") ||
          absl::StartsWith(text_.substr(at_), "-]")) {
        add(low);
        continue;
      }
      const size_t dash = at_++;
      if (!More()) return Error(begin, "'[' is not closed");
      ASSIGN_OR_RETURN(const CharSet high, ClassMember());
      if (high.size() != 1 || high[0].first != high[0].last || high[0].first < low[0].first)
        return Error(dash, "the range's ends are in the wrong order or no characters");
      ranges.push_back({low[0].first, high[0].first});
    }
    CharSet set = MakeCharSet(std::move(ranges));
    return CharsNode(begin, negated ? Complement(set) : std::move(set));
  }

  absl::StatusOr<CharSet> ClassMember() {
    if (Take("\\b")) return CharSet{{'\b', '\b'}};
    if (text_[at_] == '\\') return Escape();
    ASSIGN_OR_RETURN(const uint32_t c, Character());
    return CharSet{{c, c}};
  }

  absl::StatusOr<CharSet> Escape() {
    const size_t begin = at_++;
    if (!More()) return Error(begin, "a '\\' at the end");
    const char c = text_[at_++];
    auto one = [](uint32_t code_point) { return CharSet{{code_point, code_point}}; };
    switch (c) {
      case 'd':
        return DigitChars();
      case 'D':
        return Complement(DigitChars());
      case 'w':
        return WordChars();
      case 'W':
        return Complement(WordChars());
      case 's':
        return SpaceChars(options_.dialect);
      case 'S':
        return Complement(SpaceChars(options_.dialect));
      case 'n':
        return one('\n');
      case 't':
        return one('\t');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'a':
        return one('\a');
      case 'p':
      case 'P':
        return Property(begin, c == 'P');
      case 'x':
        return CodePoint(begin, 2);
      case 'u':
        return CodePoint(begin, 4);
      case '0':
        if (More() && absl::ascii_isdigit(text_[at_]))
          return Error(begin, "octal escapes are not supported; write \\xHH");
        return one(0);
      case 'b':
      case 'B':
        return Error(begin, "word boundaries are not supported");
      default:
        break;
    }
    if (absl::ascii_isdigit(c)) return Error(begin, "back references are not supported");
    if (absl::ascii_isalpha(c) || static_cast<uint8_t>(c) >= 0x80)
      return Error(begin, absl::StrCat("unknown escape '\\", std::string(1, c), "'"));
    return one(static_cast<uint8_t>(c));
  }

  absl::StatusOr<CharSet> Property(size_t begin, bool negated) {
    absl::string_view name = text_.substr(at_, 1);
    if (Take("{")) {
      const size_t end = text_.find('}', at_);
      if (end == absl::string_view::npos || end - at_ > 64)
        return Error(begin, "the property's name has no end");
      name = text_.substr(at_, end - at_);
      at_ = end + 1;
    } else {
      at_ += name.size();
    }
    CharSet set = UnicodeProperty(name);
    if (set.empty()) return Error(begin, absl::StrCat("no Unicode property '", name, "'"));
    return negated ? Complement(set) : set;
  }

  absl::StatusOr<CharSet> CodePoint(size_t begin, size_t num_digits) {
    absl::string_view digits = text_.substr(std::min(at_, text_.size()), num_digits);
    if (Take("{")) {
      const size_t end = text_.find('}', at_);
      if (end == absl::string_view::npos) return Error(begin, "the character's number has no end");
      digits = text_.substr(at_, end - at_);
      at_ = end + 1;
    } else if (digits.size() < num_digits) {
      return Error(begin, absl::StrCat("expected ", num_digits, " hexadecimal digits"));
    } else {
      at_ += num_digits;
    }
    uint32_t value = 0;
    for (char d : digits) {
      if (!absl::ascii_isxdigit(d) || value > kCodePointMax)
        return Error(begin, "not the number of a character");
      value = value * 16 + (absl::ascii_isdigit(d) ? d - '0' : absl::ascii_tolower(d) - 'a' + 10);
    }
    if (digits.empty() || value > kCodePointMax || (value >= 0xD800 && value <= 0xDFFF))
      return Error(begin, "not the number of a character");
    return CharSet{{value, value}};
  }

  const absl::string_view text_;
  const RegexOptions& options_;
  size_t at_ = 0;
};

}  // namespace

absl::Status RegexError(const RegexOptions& options, size_t offset, absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat(options.place, "offset ", offset, " of the regular expression: ", message));
}

absl::StatusOr<RegexNode> ParseRegexSyntax(absl::string_view regex, const RegexOptions& options) {
  return SyntaxParser(regex, options).Parse();
}

}  // namespace oneai::serving
