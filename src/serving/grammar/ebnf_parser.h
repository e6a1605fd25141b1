// File: serving/grammar/ebnf_parser.h
//
// Grammars as people write them for llama.cpp (GBNF) and xgrammar: rules `name ::= expression` with
// "strings", [classes], ( ), |, *, +, ?, {m,n}, '.', # comments; also 'strings' and /* comments */
// as in the W3C's notation (XML 1.0, section 6). The text is what rule "root" matches.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

// Direct left recursion (a ::= a "x" | "y") is rewritten as a repetition. InvalidArgument "offset N
// of the grammar: ...": a syntax error, a rule that is not defined or defined twice, no rule
// "root".
absl::StatusOr<Grammar> ParseEbnf(absl::string_view text, const GrammarLimits& limits);

}  // namespace oneai::serving
