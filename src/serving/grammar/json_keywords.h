// File: serving/grammar/json_keywords.h
//
// The keywords of JSON Schema that are understood, by the type of value that they speak of.
#pragma once

#include <algorithm>
#include <iterator>

#include "absl/strings/string_view.h"

namespace oneai::serving {

inline constexpr absl::string_view kObjectKeywords[] = {
    "properties",        "required",          "additionalProperties",
    "patternProperties", "propertyNames",     "minProperties",
    "maxProperties",     "dependentRequired", "unevaluatedProperties"};
inline constexpr absl::string_view kArrayKeywords[] = {
    "items",       "prefixItems", "minItems",    "maxItems",        "contains",
    "minContains", "maxContains", "uniqueItems", "unevaluatedItems"};
inline constexpr absl::string_view kStringKeywords[] = {"minLength", "maxLength", "pattern",
                                                        "format"};
inline constexpr absl::string_view kNumberKeywords[] = {"minimum", "maximum", "exclusiveMinimum",
                                                        "exclusiveMaximum", "multipleOf"};
inline constexpr absl::string_view kOtherKeywords[] = {"type",  "enum",  "const", "anyOf",
                                                       "oneOf", "allOf", "$ref",  "not"};
inline constexpr absl::string_view kTypes[] = {"object",  "array",   "string", "number",
                                               "integer", "boolean", "null"};

template <size_t N>
bool IsIn(const absl::string_view (&list)[N], absl::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

}  // namespace oneai::serving
