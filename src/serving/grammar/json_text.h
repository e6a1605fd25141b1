// File: serving/grammar/json_text.h
//
// JSON's own parts as expressions. Source: RFC 8259.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "models/json/json_reader.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

// What of JSON's many spellings of a value is allowed. All of it is valid JSON; a model that is
// held to it loses nothing but spellings.
//   strings   any character as itself, or escaped as \" \\ \/ \b \f \n \r \t \uXXXX (surrogates in
//             pairs). Where characters are counted or matched, and in keys of objects that name
//             properties: as itself, or by its short escape (\u00XX for the other control
//             characters).
//   numbers   at most 18 digits before and 18 after the point, an exponent of at most 2.
// Thread-compatible; borrows the pool, which must outlive it.
class JsonText {
 public:
  JsonText(ExpressionPool& pool, JsonWhitespace whitespace);

  // Any value of a type. Each is a rule, made on first use.
  ExprId Value();
  ExprId Object();
  ExprId Array();
  ExprId String();
  ExprId Number();
  ExprId Integer();
  ExprId Boolean();
  ExprId Null();

  // Exactly `value`, as nlohmann::json writes it, with the white space of this text.
  ExprId Literal(const models::OrderedJson& value);
  // A string of `min` to `max` characters; max may be Expr::kUnbounded. `place` is for errors.
  ExprId StringOfLength(int64_t min, int64_t max, const std::string& place);
  // A string whose characters are `content`, made with CanonicalChar.
  ExprId QuotedRule(std::string name, ExprId content);
  // One character of `chars` in its canonical spelling.
  ExprId CanonicalChar(const CharSet& chars);
  // The characters of any string but those of `names`, canonically spelled, without calls.
  ExprId ContentExcept(const std::vector<std::string>& names);
  // Any string but those of `names`, canonically spelled.
  ExprId StringExcept(const std::vector<std::string>& names);

  // Around and between the members of objects and arrays.
  ExprId AfterOpen();
  ExprId BeforeClose() { return AfterOpen(); }
  ExprId Comma();
  ExprId Colon();
  // open, `members`, close; and `open` `close` alone if `may_be_empty`.
  ExprId Bracketed(absl::string_view open, ExprId members, absl::string_view close,
                   bool may_be_empty);

 private:
  ExprId Blank();
  ExprId SpelledChars();
  ExprId TextExcept(const std::vector<std::string>& names, size_t begin, size_t end, size_t depth);
  template <typename Make>
  ExprId Once(const char* name, Make make);

  ExpressionPool& pool_;
  const JsonWhitespace whitespace_;
  std::map<std::string, RuleId> rules_;  // by name
};

}  // namespace oneai::serving
