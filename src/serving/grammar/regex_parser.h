// File: serving/grammar/regex_parser.h
//
// Regular expressions, as far as they are regular: no look-around, back references, word boundaries
// or flags, which are refused by name. Source: RE2 syntax (github.com/google/re2/wiki/Syntax);
// ECMA-262, section 22.2, for the patterns of JSON schemas.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serving/grammar/expression.h"

namespace oneai::serving {

struct RegexOptions {
  // kRe2: '.' is all but \n, \s is [\t\n\f\r ]; the expression must match the whole text.
  // kEcma: '.' is all but the four line ends, \s has Unicode's blanks; the expression is searched
  // for, so that text may come before and after unless ^ and $ forbid it.
  enum class Dialect { kRe2, kEcma };
  Dialect dialect = Dialect::kRe2;
  int nesting_max = 64;
  std::string place;  // put before "offset N" in errors
};

// Appends the expression of `regex` to `pool`. `write` turns a set of characters into what stands
// for one of them (JSON strings escape some). InvalidArgument "<place>offset N: ...": a syntax
// error or an unsupported construct.
absl::StatusOr<ExprId> ParseRegex(absl::string_view regex, const RegexOptions& options,
                                  ExpressionPool& pool,
                                  absl::FunctionRef<ExprId(const CharSet&)> write);
// The same with characters standing for themselves.
absl::StatusOr<ExprId> ParseRegex(absl::string_view regex, const RegexOptions& options,
                                  ExpressionPool& pool);

}  // namespace oneai::serving
