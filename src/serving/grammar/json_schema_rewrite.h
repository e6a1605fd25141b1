// File: serving/grammar/json_schema_rewrite.h
//
// Conditions and negations as alternatives, and older spellings as today's, so that fewer keywords
// are left to compile. Source: JSON Schema 2020-12, core, section 10.2; draft 7.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "models/json/json_reader.h"
#include "serving/grammar/json_schema_merge.h"

namespace oneai::serving {

// An equivalent of the object schema `s` without if, then, else, dependentSchemas, dependencies,
// nullable and items as a list, where "not" is only {"enum": [...]} or {"pattern": ...}: conditions
// become members of allOf. The same schema when it has none of them. InvalidArgument at `path`: a
// keyword whose opposite cannot be written.
absl::StatusOr<models::OrderedJson> RewriteSchema(const models::OrderedJson& s,
                                                  const std::string& path, ResolveRef resolve);

// Whether RewriteSchema has anything to do.
bool NeedsRewriting(const models::OrderedJson& s);

}  // namespace oneai::serving
