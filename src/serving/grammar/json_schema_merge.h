// File: serving/grammar/json_schema_merge.h
//
// One schema for "this and that" (allOf, keywords beside $ref or anyOf), in the cases where keyword
// by keyword is right.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/json/json_reader.h"

namespace oneai::serving {

// Keywords that say nothing about which values are allowed.
bool IsAnnotation(absl::string_view keyword);

// The first schema of a "$ref" chain that is none, from `ref`.
using ResolveRef =
    absl::FunctionRef<absl::StatusOr<const models::OrderedJson*>(absl::string_view ref)>;

// Whether "allOf" holds nothing but patterns, formats and "not" with a pattern, each beside another
// one of its kind in `s`: what MergeSchemas leaves there, for a string has to obey all of them.
bool HasFurtherTextSets(const models::OrderedJson& s);

// What obeys both. `path` names the place in errors. InvalidArgument: keywords that have no common
// form here, naming them.
absl::StatusOr<models::OrderedJson> MergeSchemas(const models::OrderedJson& a,
                                                 const models::OrderedJson& b,
                                                 const std::string& path, ResolveRef resolve,
                                                 int nesting_left);

// A schema as a part of another one: what it leaves unevaluated is what it does not name itself.
models::OrderedJson AsPart(const models::OrderedJson& s);

// Values in `json`, itself and keys included.
int64_t CountValues(const models::OrderedJson& json);

}  // namespace oneai::serving
