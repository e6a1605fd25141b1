#include "models/chat_template/lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::models::jinja {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

class Lexer {
 public:
  explicit Lexer(absl::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (pos_ < source_.size()) RETURN_IF_ERROR(NextSection());
    Add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  absl::Status Error(absl::string_view message) const {
    return absl::InvalidArgumentError(absl::StrCat("template line ", line_, ": ", message));
  }
  void Add(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }
  void Advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + pos_, source_.begin() + to, '\n'));
    pos_ = to;
  }
  bool At(absl::string_view text) const { return absl::StartsWith(source_.substr(pos_), text); }

  // The offset of the next "{{", "{%" or "{#".
  size_t NextDelimiter(size_t from) const {
    for (size_t at = source_.find('{', from); at != source_.npos; at = source_.find('{', at + 1))
      if (at + 1 < source_.size() &&
          (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#'))
        return at;
    return source_.size();
  }

  // Text up to the next delimiter, then the delimited section.
  absl::Status NextSection() {
    const size_t begin = NextDelimiter(pos_);
    absl::string_view text = source_.substr(pos_, begin - pos_);
    const char type = begin < source_.size() ? source_[begin + 1] : '\0';
    const char sign = begin + 2 < source_.size() ? source_[begin + 2] : '\0';
    if (type != '\0') text = StripBefore(text, type, sign);
    if (!text.empty()) Add(Token::Kind::kText, std::string(text));
    Advance(begin);
    if (type == '\0') return absl::OkStatus();
    Advance(begin + (sign == '-' || (sign == '+' && type != '#') ? 3 : 2));
    if (type == '#') return SkipComment();
    if (type == '%' && AtRaw()) return RawSection();
    Add(type == '%' ? Token::Kind::kBlockBegin : Token::Kind::kPrintBegin, "");
    return Inside(type == '%' ? "%}" : "}}");
  }

  absl::string_view StripBefore(absl::string_view text, char type, char sign) const {
    if (sign == '-') {
      while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
      return text;
    }
    if (sign == '+' || type == '{') return text;
    const size_t newline = text.rfind('\n');
    const size_t line_start = newline == text.npos ? 0 : newline + 1;
    if (newline == text.npos && !line_starting_) return text;
    return std::all_of(text.begin() + line_start, text.end(), IsSpace) ? text.substr(0, line_start)
                                                                       : text;
  }

  // After a closing delimiter: applies `-`, or trims one newline where `trim` (blocks and
  // comments).
  void StripAfter(bool minus, bool trim) {
    size_t end = pos_;
    if (minus) {
      while (end < source_.size() && IsSpace(source_[end])) ++end;
    } else if (trim && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    Advance(end);
    line_starting_ = end > 0 && source_[end - 1] == '\n';
  }

  absl::Status SkipComment() {
    const size_t end = source_.find("#}", pos_);
    if (end == source_.npos) return Error("comment '{#' is not closed");
    const char sign = end > pos_ ? source_[end - 1] : '\0';
    Advance(end + 2);
    StripAfter(sign == '-', sign != '+');
    return absl::OkStatus();
  }

  bool AtRaw() const {
    size_t at = pos_;
    while (at < source_.size() && IsSpace(source_[at])) ++at;
    const absl::string_view rest = source_.substr(at);
    return absl::StartsWith(rest, "raw") && rest.size() > 3 && !absl::ascii_isalnum(rest[3]) &&
           rest[3] != '_';
  }

  absl::Status RawSection() {
    const size_t close = source_.find("%}", pos_);
    if (close == source_.npos) return Error("'{% raw' is not closed");
    const char open_sign = source_[close - 1];
    Advance(close + 2);
    StripAfter(open_sign == '-', open_sign != '+');
    for (size_t at = source_.find("{%", pos_); at != source_.npos;
         at = source_.find("{%", at + 1)) {
      const char sign = at + 2 < source_.size() ? source_[at + 2] : '\0';
      size_t word = at + (sign == '-' || sign == '+' ? 3 : 2);
      while (word < source_.size() && IsSpace(source_[word])) ++word;
      if (!absl::StartsWith(source_.substr(word), "endraw")) continue;
      const size_t end = source_.find("%}", word);
      if (end == source_.npos) break;
      const absl::string_view text = StripBefore(source_.substr(pos_, at - pos_), '%', sign);
      if (!text.empty()) Add(Token::Kind::kText, std::string(text));
      const char close_sign = source_[end - 1];
      Advance(end + 2);
      StripAfter(close_sign == '-', close_sign != '+');
      return absl::OkStatus();
    }
    return Error("'{% raw %}' has no '{% endraw %}'");
  }

  // Tokens up to `close`. Brackets are counted so that "}}" may end nested maps.
  absl::Status Inside(absl::string_view close) {
    int depth = 0;
    while (true) {
      size_t at = pos_;
      while (at < source_.size() && IsSpace(source_[at])) ++at;
      Advance(at);
      if (pos_ >= source_.size()) return Error(absl::StrCat("no closing '", close, "'"));
      if (depth == 0) {
        const char c = source_[pos_];
        const bool signed_close = (c == '-' || (c == '+' && close == "%}")) &&
                                  absl::StartsWith(source_.substr(pos_ + 1), close);
        if (signed_close || At(close)) {
          Add(close == "%}" ? Token::Kind::kBlockEnd : Token::Kind::kPrintEnd, "");
          Advance(pos_ + (signed_close ? 3 : 2));
          StripAfter(signed_close && c == '-', close == "%}" && !signed_close);
          return absl::OkStatus();
        }
      }
      RETURN_IF_ERROR(OneToken(depth));
    }
  }

  absl::Status OneToken(int& depth) {
    const char c = source_[pos_];
    if (absl::ascii_isalpha(c) || c == '_') {
      size_t end = pos_;
      while (end < source_.size() && (absl::ascii_isalnum(source_[end]) || source_[end] == '_'))
        ++end;
      Add(Token::Kind::kName, std::string(source_.substr(pos_, end - pos_)));
      Advance(end);
      return absl::OkStatus();
    }
    if (absl::ascii_isdigit(c)) return Number();
    if (c == '\'' || c == '"') return String(c);
    for (absl::string_view op :
         {"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
          ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ",", ".", ":", "|"}) {
      if (!At(op)) continue;
      if (op == "(" || op == "[" || op == "{") ++depth;
      if (op == ")" || op == "]" || op == "}") --depth;
      if (depth < 0) return Error(absl::StrCat("unexpected '", op, "'"));
      Add(Token::Kind::kOp, std::string(op));
      Advance(pos_ + op.size());
      return absl::OkStatus();
    }
    return Error(absl::StrCat("unexpected character '", source_.substr(pos_, 1), "'"));
  }

  absl::Status Number() {
    auto digits = [&](size_t at) {
      while (at < source_.size() && (absl::ascii_isdigit(source_[at]) || source_[at] == '_')) ++at;
      return at;
    };
    size_t end = digits(pos_);
    bool is_float = false;
    if (end + 1 < source_.size() && source_[end] == '.' && absl::ascii_isdigit(source_[end + 1])) {
      end = digits(end + 1);
      is_float = true;
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t at = end + 1;
      if (at < source_.size() && (source_[at] == '+' || source_[at] == '-')) ++at;
      if (at < source_.size() && absl::ascii_isdigit(source_[at])) {
        end = digits(at);
        is_float = true;
      }
    }
    std::string text = absl::StrReplaceAll(source_.substr(pos_, end - pos_), {{"_", ""}});
    Add(is_float ? Token::Kind::kFloat : Token::Kind::kInt, std::move(text));
    Advance(end);
    return absl::OkStatus();
  }

  absl::Status String(char quote) {
    std::string text;
    size_t at = pos_ + 1;
    while (at < source_.size() && source_[at] != quote) {
      if (source_[at] != '\\') {
        text.push_back(source_[at++]);
        continue;
      }
      if (at + 1 >= source_.size()) break;
      RETURN_IF_ERROR(Escape(at, text));
    }
    if (at >= source_.size()) return Error("string is not closed");
    Add(Token::Kind::kString, std::move(text));
    Advance(at + 1);
    return absl::OkStatus();
  }

  // Python's escapes; an unknown one stays as it is written.
  absl::Status Escape(size_t& at, std::string& text) {
    const char c = source_[at + 1];
    static constexpr absl::string_view kFrom = "ntr\\'\"abfv", kTo = "\n\t\r\\'\"\a\b\f\v";
    if (const size_t i = kFrom.find(c); i != kFrom.npos) {
      text.push_back(kTo[i]);
      at += 2;
      return absl::OkStatus();
    }
    if (c == '\n') {  // a continued line
      at += 2;
      return absl::OkStatus();
    }
    const size_t num_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (num_digits == 0) {
      text.append({'\\', c});
      at += 2;
      return absl::OkStatus();
    }
    uint32_t code_point = 0;
    for (size_t i = 0; i < num_digits; ++i) {
      const char digit = at + 2 + i < source_.size() ? source_[at + 2 + i] : '\0';
      if (!absl::ascii_isxdigit(digit)) return Error("bad escape in string");
      code_point = code_point << 4 | (digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
    }
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000))
      return Error("escape in string is not a character");
    AppendUtf8(code_point, text);
    at += 2 + num_digits;
    return absl::OkStatus();
  }

  const absl::string_view source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source) {
  // Newlines are normalized and one at the very end is dropped (keep_trailing_newline is off).
  std::string text = absl::StrReplaceAll(source, {{"\r\n", "\n"}, {"\r", "\n"}});
  if (absl::EndsWith(text, "\n")) text.pop_back();
  return Lexer(text).Run();
}

}  // namespace oneai::models::jinja
