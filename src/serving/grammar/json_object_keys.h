// File: serving/grammar/json_object_keys.h
//
// Names of members that a schema does not list: by which of its patterns they match.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/json/json_reader.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/json_scalars.h"
#include "serving/grammar/json_text.h"

namespace oneai::serving {

// Each pattern may match or not, which is as many kinds of names as subsets.
inline constexpr size_t kPatternPropertiesMax = 4;

struct NamePattern {
  ExprId content;                     // as JsonScalars::Pattern writes it
  const models::OrderedJson* schema;  // of the values
};

struct KeyKind {
  ExprId content;                // of the name's string, without quotes
  std::vector<size_t> patterns;  // that it matches; none: an additional property
};

// The kinds of names that are none of `listed` and, where given, one of `allowed`. Kinds without
// any name are left out. `place` is for errors.
absl::StatusOr<std::vector<KeyKind>> KindsOfKeys(JsonText& json, JsonScalars& scalars,
                                                 const std::vector<std::string>& listed,
                                                 const std::vector<NamePattern>& patterns,
                                                 std::optional<ExprId> allowed,
                                                 ExpressionPool& pool, const std::string& place);

}  // namespace oneai::serving
