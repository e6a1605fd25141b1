// File: serving/grammar/json_schema.h
//
// JSON schemas as grammars. Every text of the grammar obeys the schema; the grammar is a subset of
// the schema's values where a choice had to be made (README.md lists them). Source: JSON Schema
// 2020-12 (json-schema.org), core and validation.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

// InvalidArgument, naming the JSON pointer ("#/properties/age: ..."): not JSON or not a schema, a
// keyword that is not supported, or that cannot be held to together with another.
absl::StatusOr<Grammar> ParseJsonSchema(absl::string_view text, JsonWhitespace whitespace,
                                        const GrammarLimits& limits);

// Any JSON object.
Grammar JsonObjectGrammar(JsonWhitespace whitespace);

}  // namespace oneai::serving
