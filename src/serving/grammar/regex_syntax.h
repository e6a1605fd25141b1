// File: serving/grammar/regex_syntax.h
//
// The syntax tree of a regular expression.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/regex_parser.h"

namespace oneai::serving {

struct RegexNode {
  enum class Kind { kChars, kConcat, kAlternate, kRepeat, kTextStart, kTextEnd };
  Kind kind = Kind::kConcat;  // without children: the empty text
  CharSet chars;
  std::vector<RegexNode> children;
  int64_t min = 0, max = 0;  // kRepeat; max may be Expr::kUnbounded
  size_t offset = 0;         // in the source
};

// Errors as ParseRegex.
absl::StatusOr<RegexNode> ParseRegexSyntax(absl::string_view regex, const RegexOptions& options);

absl::Status RegexError(const RegexOptions& options, size_t offset, absl::string_view message);

// Named sets.
CharSet DigitChars();
CharSet WordChars();
CharSet SpaceChars(RegexOptions::Dialect dialect);
CharSet DotChars(RegexOptions::Dialect dialect);
// [:alpha:] and its like; empty when there is no such class.
CharSet PosixChars(absl::string_view name);
// Characters of a Unicode property such as "L", "Lu" or "Greek"; empty when there is none.
CharSet UnicodeProperty(absl::string_view name);

}  // namespace oneai::serving
