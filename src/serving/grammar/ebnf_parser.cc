#include "serving/grammar/ebnf_parser.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/tokenizer/unicode_text.h"
#include "serving/grammar/regex_syntax.h"

namespace oneai::serving {
namespace {

constexpr int64_t kCountMax = 1'000'000'000;

bool IsNameStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; }

class EbnfParser {
 public:
  EbnfParser(absl::string_view text, const GrammarLimits& limits) : text_(text), limits_(limits) {}

  absl::StatusOr<Grammar> Parse() {
    SkipBlanks();
    while (More()) {
      RETURN_IF_ERROR(ParseRule());
      SkipBlanks();
      if (Take(";")) SkipBlanks();
    }
    const auto root = rules_.find("root");
    if (root == rules_.end() || !root->second.is_defined)
      return Error(text_.size(), "there is no rule 'root', where the text begins");
    std::vector<std::pair<size_t, std::string>> missing;
    for (const auto& [name, rule] : rules_) {
      if (!rule.is_defined) missing.emplace_back(rule.offset, name);
    }
    if (!missing.empty()) {
      const auto& [offset, name] = *std::min_element(missing.begin(), missing.end());
      return Error(offset, absl::StrCat("rule '", name, "' is used and not defined"));
    }
    grammar_.start = root->second.id;
    return std::move(grammar_);
  }

 private:
  struct KnownRule {
    RuleId id = -1;
    size_t offset = 0;  // where it was met first
    bool is_defined = false;
  };
  using Sequence = std::vector<ExprId>;

  absl::Status Error(size_t offset, absl::string_view message) const {
    return absl::InvalidArgumentError(
        absl::StrCat("offset ", offset, " of the grammar: ", message));
  }
  bool More() const { return at_ < text_.size(); }
  bool Looking(absl::string_view expected) const {
    return absl::StartsWith(text_.substr(at_), expected);
  }
  bool Take(absl::string_view expected) {
    if (!Looking(expected)) return false;
    at_ += expected.size();
    return true;
  }

  void SkipBlanks() {
    while (More()) {
      if (absl::ascii_isspace(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (Looking("/*")) {
        const size_t end = text_.find("*/", at_ + 2);
        at_ = end == absl::string_view::npos ? text_.size() : end + 2;
      } else {
        return;
      }
    }
  }

  absl::string_view TakeName() {
    const size_t begin = at_;
    if (More() && IsNameStart(text_[at_])) {
      while (More() && IsNameChar(text_[at_])) ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

  KnownRule& RuleOf(absl::string_view name, size_t offset) {
    const auto [it, added] = rules_.try_emplace(std::string(name));
    if (added) it->second = {grammar_.pool.AddRule(std::string(name)), offset, false};
    return it->second;
  }

  absl::Status ParseRule() {
    const size_t begin = at_;
    const absl::string_view name = TakeName();
    if (name.empty()) return Error(begin, "expected a rule: name ::= expression");
    SkipBlanks();
    if (!Take("::=")) return Error(at_, absl::StrCat("expected ::= after '", name, "'"));
    const RuleId id = RuleOf(name, begin).id;
    if (RuleOf(name, begin).is_defined)
      return Error(begin, absl::StrCat("rule '", name, "' is defined twice"));
    RuleOf(name, begin).is_defined = true;
    ASSIGN_OR_RETURN(std::vector<Sequence> alternatives, Alternatives(0));
    grammar_.pool.rule(id).body = Body(id, std::move(alternatives));
    return absl::OkStatus();
  }

  // a ::= a x | y is y x*.
  ExprId Body(RuleId id, std::vector<Sequence> alternatives) {
    ExpressionPool& pool = grammar_.pool;
    std::vector<ExprId> first, more;
    for (Sequence& s : alternatives) {
      const bool is_left =
          !s.empty() && pool.expr(s[0]).kind == Expr::Kind::kCall && pool.expr(s[0]).rule == id;
      if (!is_left) {
        first.push_back(pool.Concat(std::move(s)));
      } else if (s.size() > 1) {
        more.push_back(pool.Concat(Sequence(s.begin() + 1, s.end())));
      }
    }
    const ExprId begin = pool.Alternate(std::move(first));
    if (more.empty()) return begin;
    return pool.Concat({begin, pool.Repeat(pool.Alternate(more), 0, Expr::kUnbounded)});
  }

  absl::StatusOr<std::vector<Sequence>> Alternatives(int nesting) {
    if (nesting > limits_.source_nesting_max)
      return Error(at_,
                   absl::StrCat("more than ", limits_.source_nesting_max, " brackets are open"));
    std::vector<Sequence> alternatives;
    do {
      Sequence sequence;
      for (SkipBlanks(); !AtSequenceEnd(); SkipBlanks()) {
        ASSIGN_OR_RETURN(const ExprId item, Item(nesting));
        sequence.push_back(item);
        if (grammar_.pool.num_exprs() > limits_.expressions_max)
          return Error(at_, absl::StrCat("more than ", limits_.expressions_max, " parts"));
      }
      alternatives.push_back(std::move(sequence));
    } while (Take("|"));
    return alternatives;
  }

  // At the end, at a bar or bracket, or at the next rule's name.
  bool AtSequenceEnd() {
    if (!More() || text_[at_] == '|' || text_[at_] == ')' || text_[at_] == ';') return true;
    if (!IsNameStart(text_[at_])) return false;
    const size_t begin = at_;
    TakeName();
    SkipBlanks();
    const bool is_rule = Looking("::=");
    at_ = begin;
    return is_rule;
  }

  absl::StatusOr<ExprId> Item(int nesting) {
    const size_t begin = at_;
    ASSIGN_OR_RETURN(ExprId item, Atom(nesting));
    // Blanks do not end an item: GBNF allows none before a quantifier, W3C neither.
    for (int num_quantifiers = 0; More(); ++num_quantifiers) {
      int64_t min = 0, max = Expr::kUnbounded;
      const size_t offset = at_;
      if (num_quantifiers > 3) return Error(offset, "too many quantifiers in a row");
      if (Take("*")) {
      } else if (Take("+")) {
        min = 1;
      } else if (Take("?")) {
        max = 1;
      } else if (Take("{")) {
        RETURN_IF_ERROR(Counts(offset, min, max));
      } else {
        break;
      }
      item = grammar_.pool.Repeat(item, min, max);
      grammar_.pool.SetPlace(item, absl::StrCat("offset ", begin));
    }
    return item;
  }

  absl::Status Counts(size_t offset, int64_t& min, int64_t& max) {
    auto number = [&]() -> std::optional<int64_t> {
      SkipBlanks();
      const size_t begin = at_;
      int64_t value = 0;
      for (; More() && absl::ascii_isdigit(text_[at_]); ++at_)
        value = std::min(kCountMax, value * 10 + (text_[at_] - '0'));
      const bool found = at_ > begin;
      SkipBlanks();
      return found ? std::optional<int64_t>(value) : std::nullopt;
    };
    const std::optional<int64_t> first = number();
    const bool has_comma = Take(",");
    const std::optional<int64_t> last = number();
    if (!Take("}") || (!first.has_value() && !last.has_value()))
      return Error(offset, "expected {n}, {m,}, {,n} or {m,n}");
    min = first.value_or(0);
    max = has_comma ? last.value_or(Expr::kUnbounded) : min;
    if (max != Expr::kUnbounded && max < min)
      return Error(offset, "the counts are in the wrong order");
    return absl::OkStatus();
  }

  absl::StatusOr<ExprId> Atom(int nesting) {
    const size_t begin = at_;
    ExpressionPool& pool = grammar_.pool;
    if (text_[at_] == '"' || text_[at_] == '\'') return String();
    if (text_[at_] == '[') return Class();
    if (Take(".")) return pool.Chars(Complement({{'\n', '\n'}}));
    if (Take("(")) {
      if (Looking("=") || Looking("!")) return Error(begin, "look-ahead is not supported");
      ASSIGN_OR_RETURN(std::vector<Sequence> alternatives, Alternatives(nesting + 1));
      if (!Take(")")) return Error(begin, "'(' is not closed");
      std::vector<ExprId> branches;
      for (Sequence& s : alternatives) branches.push_back(pool.Concat(std::move(s)));
      return pool.Alternate(std::move(branches));
    }
    const absl::string_view name = TakeName();
    if (!name.empty()) return pool.Call(RuleOf(name, begin).id);
    return Error(begin, "expected a string, [class], rule name, '.' or '('");
  }

  absl::StatusOr<ExprId> String() {
    const size_t begin = at_;
    const char quote = text_[at_++];
    std::string bytes;
    while (More() && text_[at_] != quote) {
      ASSIGN_OR_RETURN(const uint32_t c, Character());
      models::AppendUtf8(c, bytes);
    }
    if (!More()) return Error(begin, "the string has no end");
    ++at_;
    return grammar_.pool.Bytes(bytes);
  }

  absl::StatusOr<ExprId> Class() {
    const size_t begin = at_++;
    const bool negated = Take("^");
    std::vector<CharRange> ranges;
    while (More() && text_[at_] != ']') {
      if (Looking("\\d") || Looking("\\w") || Looking("\\s")) {
        const CharSet set = Looking("\\d")   ? DigitChars()
                            : Looking("\\w") ? WordChars()
                                             : SpaceChars(RegexOptions::Dialect::kRe2);
        ranges.insert(ranges.end(), set.begin(), set.end());
        at_ += 2;
        continue;
      }
      ASSIGN_OR_RETURN(const uint32_t first, Character());
      uint32_t last = first;
      if (Looking("-") && !Looking("-]")) {
        ++at_;
        if (!More()) break;
        ASSIGN_OR_RETURN(last, Character());
      }
      if (last < first) return Error(at_, "the range's ends are in the wrong order");
      ranges.push_back({first, last});
    }
    if (!Take("]")) return Error(begin, "'[' is not closed");
    CharSet set = MakeCharSet(std::move(ranges));
    return grammar_.pool.Chars(negated ? Complement(set) : std::move(set));
  }

  // One character of a string or class, escaped or not.
  absl::StatusOr<uint32_t> Character() {
    const size_t begin = at_;
    if (Take("\\")) return Escape(begin);
    const models::Utf8Char c = models::DecodeUtf8(text_, at_);
    if (c.code_point == models::kIllFormed) return Error(begin, "not UTF-8");
    at_ += c.bytes;
    return c.code_point;
  }

  absl::StatusOr<uint32_t> Escape(size_t begin) {
    if (!More()) return Error(begin, "a '\\' at the end");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case '0':
        return 0;
      case 'x':
        return HexNumber(begin, 2);
      case 'u':
        return HexNumber(begin, 4);
      case 'U':
        return HexNumber(begin, 8);
      default:
        break;
    }
    if (absl::ascii_isalnum(c) || static_cast<uint8_t>(c) >= 0x80)
      return Error(begin, absl::StrCat("unknown escape '\\", std::string(1, c), "'"));
    return static_cast<uint8_t>(c);
  }

  absl::StatusOr<uint32_t> HexNumber(size_t begin, size_t num_digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < num_digits; ++i, ++at_) {
      if (!More() || !absl::ascii_isxdigit(text_[at_]) || value > kCodePointMax)
        return Error(begin, absl::StrCat("expected ", num_digits, " hexadecimal digits"));
      const char d = absl::ascii_tolower(text_[at_]);
      value = value * 16 + (absl::ascii_isdigit(d) ? d - '0' : d - 'a' + 10);
    }
    if (value > kCodePointMax || (value >= 0xD800 && value <= 0xDFFF))
      return Error(begin, "not the number of a character");
    return value;
  }

  const absl::string_view text_;
  const GrammarLimits& limits_;
  size_t at_ = 0;
  Grammar grammar_;
  absl::flat_hash_map<std::string, KnownRule> rules_;
};

}  // namespace

absl::StatusOr<Grammar> ParseEbnf(absl::string_view text, const GrammarLimits& limits) {
  return EbnfParser(text, limits).Parse();
}

}  // namespace oneai::serving
