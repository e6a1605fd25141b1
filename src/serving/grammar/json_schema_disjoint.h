// File: serving/grammar/json_schema_disjoint.h
//
// Whether two schemas exclude each other, which is what makes the branches of `oneOf` exact.
#pragma once

#include <cstdint>

#include "models/json/json_reader.h"
#include "serving/grammar/json_schema_merge.h"

namespace oneai::serving {

// True: no JSON value is valid for both, by the letter of JSON Schema (a keyword says nothing of
// values of other types). Sees types, constants, bounds, properties that one of them requires, and
// their combinations. False: there may be one. Takes its steps
// from `steps_left`; false when there are none.
bool AreDisjoint(const models::OrderedJson& a, const models::OrderedJson& b, ResolveRef resolve,
                 int64_t& steps_left);

// Whether every value that `a` allows has a type of those in `types` (a "type" of JSON Schema).
bool HasOnlyTypes(const models::OrderedJson& a, const models::OrderedJson& types);

}  // namespace oneai::serving
