// File: serving/grammar/json_schema_ids.h
//
// Schemas that are referred to by name: "$anchor", and "$id" as the base of other references.
// Source: JSON Schema 2020-12 core, sections 8.2 and 9.2; RFC 3986, section 5.2.
#pragma once

#include "absl/status/status.h"
#include "models/json/json_reader.h"

namespace oneai::serving {

// Writes every "$ref" of the document that leads to an "$anchor" or, over an "$id", to another
// place of it as the JSON pointer from its root ("#/..."). What leads nowhere is left as it is.
// InvalidArgument: two schemas of one name.
absl::Status ReferToPlaces(models::OrderedJson& root);

}  // namespace oneai::serving
