#include "serving/grammar/json_schema_merge.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/grammar/json_scalars.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr size_t kAlternativesMax = 256;
constexpr int64_t kMultipleMax = 1'000'000;

// "not" with a list of values, a constant or a pattern.
bool IsPlainNot(const OrderedJson& value) {
  return value.is_object() && value.size() == 1 &&
         (value.contains("enum") || value.contains("const") || value.contains("pattern"));
}

// A keyword of which a string may have to obey several at once.
bool IsTextSet(const std::string& key, const OrderedJson& value) {
  if (key == "pattern" || key == "format") return value.is_string();
  return key == "not" && value.is_object() && value.size() == 1 && value.contains("pattern") &&
         value["pattern"].is_string();
}

// Keeps one more of them: see HasFurtherTextSets.
void AddFurther(const std::string& key, const OrderedJson& value, OrderedJson& out) {
  if (!out.contains("allOf") || !out["allOf"].is_array()) out["allOf"] = OrderedJson::array();
  OrderedJson further = OrderedJson::object();
  further[key] = value;
  OrderedJson& all = out["allOf"];
  if (std::find(all.begin(), all.end(), further) == all.end()) all.push_back(std::move(further));
}

bool CountsMatching(const OrderedJson& s) {
  return s.contains("contains") || s.contains("minContains") || s.contains("maxContains");
}

// Counts of what "contains" matches speak of their own schema's alone, where 1 is the least.
OrderedJson WithToldCounts(OrderedJson s) {
  if (!s.contains("contains")) {
    s.erase("minContains");
    s.erase("maxContains");
  } else if (!s.contains("minContains")) {
    s["minContains"] = 1;
  }
  return s;
}

class Merger {
 public:
  Merger(ResolveRef resolve) : resolve_(resolve) {}

  absl::StatusOr<OrderedJson> Merge(const OrderedJson& a, const OrderedJson& b,
                                    const std::string& path, int nesting_left) {
    if (nesting_left <= 0)
      return Error(path, "allOf and $ref are nested too deeply to be taken together");
    if (a.is_boolean()) return a.get<bool>() ? b : a;
    if (b.is_boolean()) return b.get<bool>() ? a : b;
    if (!a.is_object() || !b.is_object())
      return Error(path, "a schema must be an object or a boolean");
    if (a.contains("$ref")) return MergeRef(a, b, path, nesting_left);
    if (b.contains("$ref")) return MergeRef(b, a, path, nesting_left);
    if (CountsMatching(a) && CountsMatching(b)) {
      const OrderedJson told_a = WithToldCounts(a), told_b = WithToldCounts(b);
      if (told_a != a || told_b != b) return Merge(told_a, told_b, path, nesting_left - 1);
    }
    RETURN_IF_ERROR(RefuseOtherPatterns(a, b, path));
    OrderedJson out = a;
    for (const auto& [key, value] : b.items()) {
      if (key == "properties" || key == "additionalProperties") continue;
      if (!out.contains(key)) {
        out[key] = value;
      } else if (out[key] == value || IsAnnotation(key)) {
        continue;
      } else if (IsTextSet(key, value) && IsTextSet(key, out[key])) {
        AddFurther(key, value, out);
      } else if (key == "not" && IsTextSet(key, value) && IsPlainNot(out[key])) {
        AddFurther(key, value, out);
      } else if (key == "not" && IsTextSet(key, out[key]) && IsPlainNot(value)) {
        AddFurther(key, std::exchange(out[key], value), out);
      } else {
        RETURN_IF_ERROR(MergeKeyword(key, value, path, nesting_left, out[key]));
      }
    }
    RETURN_IF_ERROR(MergeProperties(a, b, path, nesting_left, out));
    return out;
  }

 private:
  static absl::Status Error(const std::string& path, absl::string_view message) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", message));
  }

  absl::StatusOr<OrderedJson> MergeRef(const OrderedJson& with_ref, const OrderedJson& other,
                                       const std::string& path, int nesting_left) {
    if (!with_ref["$ref"].is_string()) return Error(path, "$ref must be a string");
    ASSIGN_OR_RETURN(const OrderedJson* target, resolve_(with_ref["$ref"].get<std::string>()));
    OrderedJson rest = with_ref;
    rest.erase("$ref");
    ASSIGN_OR_RETURN(const OrderedJson joined,
                     Merge(AsPart(*target), rest, path, nesting_left - 1));
    return Merge(joined, other, path, nesting_left - 1);
  }

  absl::Status MergeKeyword(const std::string& key, const OrderedJson& value,
                            const std::string& path, int nesting_left, OrderedJson& out) {
    if (key == "type") return MergeType(value, path, out);
    if (key == "const") return Contradiction(path, "two different constants apply here");
    if (key == "required" && out.is_array() && value.is_array()) {
      for (const OrderedJson& name : value) {
        if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
      }
      return absl::OkStatus();
    }
    if (key == "enum" && out.is_array() && value.is_array()) {
      OrderedJson both = OrderedJson::array();
      for (const OrderedJson& v : out) {
        if (std::find(value.begin(), value.end(), v) != value.end()) both.push_back(v);
      }
      out = std::move(both);
      return absl::OkStatus();
    }
    if ((key == "anyOf" || key == "oneOf") && out.is_array() && value.is_array())
      return MergeAlternatives(key, value, path, out);
    if (key == "not") return MergeNot(value, path, out);
    if (key == "uniqueItems" && out.is_boolean() && value.is_boolean()) {
      out = true;  // they differ
      return absl::OkStatus();
    }
    if (key == "multipleOf" && out.is_number_integer() && value.is_number_integer() && out > 0 &&
        value > 0 && out < kMultipleMax && value < kMultipleMax) {
      out = std::lcm(out.get<int64_t>(), value.get<int64_t>());
      return absl::OkStatus();
    }
    if (key == "dependentRequired" && out.is_object() && value.is_object()) {
      for (const auto& [trigger, needed] : value.items()) {
        if (!out.contains(trigger)) out[trigger] = OrderedJson::array();
        for (const OrderedJson& name : needed) out[trigger].push_back(name);
      }
      return absl::OkStatus();
    }
    if (key == "patternProperties" && out.is_object() && value.is_object()) {
      for (const auto& [pattern, schema] : value.items()) {
        if (!out.contains(pattern)) {
          out[pattern] = schema;
          continue;
        }
        ASSIGN_OR_RETURN(out[pattern], Merge(out[pattern], schema, path, nesting_left - 1));
      }
      return absl::OkStatus();
    }
    const bool is_low = absl::StartsWith(key, "min") || key == "exclusiveMinimum";
    const bool is_high = absl::StartsWith(key, "max") || key == "exclusiveMaximum";
    if ((is_low || is_high) && out.is_number() && value.is_number()) {
      if (is_low ? value > out : value < out) out = value;
      return absl::OkStatus();
    }
    if (key == "items") {
      ASSIGN_OR_RETURN(out, Merge(out, value, absl::StrCat(path, "/items"), nesting_left - 1));
      return absl::OkStatus();
    }
    if (key == "allOf" && out.is_array() && value.is_array()) {
      out.insert(out.end(), value.begin(), value.end());
      return absl::OkStatus();
    }
    return Error(path, absl::StrCat("two different '", key,
                                    "' apply here; that is not supported: write one"));
  }

  // One of these and one of those.
  static absl::Status MergeAlternatives(const std::string& key, const OrderedJson& value,
                                        const std::string& path, OrderedJson& out) {
    if (out.size() * value.size() > kAlternativesMax)
      return Error(path, absl::StrCat("two '", key, "' apply here, with more than ",
                                      kAlternativesMax, " combinations"));
    OrderedJson both = OrderedJson::array();
    for (const OrderedJson& a : out) {
      for (const OrderedJson& b : value) {
        OrderedJson pair = OrderedJson::object();
        pair["allOf"] = OrderedJson::array({a, b});
        both.push_back(std::move(pair));
      }
    }
    out = std::move(both);
    return absl::OkStatus();
  }

  static absl::Status MergeNot(const OrderedJson& value, const std::string& path,
                               OrderedJson& out) {
    const bool are_lists = out.is_object() && value.is_object() && out.contains("enum") &&
                           value.contains("enum") && out["enum"].is_array() &&
                           value["enum"].is_array();
    if (!are_lists)
      return Error(path, "two different 'not' apply here; only lists of values are joined");
    for (const OrderedJson& v : value["enum"]) out["enum"].push_back(v);
    return absl::OkStatus();
  }

  // A property that matches a pattern of one part and is additional to the other would have to obey
  // both, and names that match are not known here.
  static absl::Status RefuseOtherPatterns(const OrderedJson& a, const OrderedJson& b,
                                          const std::string& path) {
    const auto patterns = [](const OrderedJson& s) {
      return s.contains("patternProperties") ? s["patternProperties"] : OrderedJson();
    };
    const auto is_closed = [](const OrderedJson& s) {
      return s.contains("additionalProperties") && s["additionalProperties"] != true;
    };
    if (patterns(a) == patterns(b) || (!is_closed(a) && !is_closed(b))) return absl::OkStatus();
    const bool harmless =
        (patterns(a).is_null() && !is_closed(a)) || (patterns(b).is_null() && !is_closed(b));
    if (harmless && !(a.contains("properties") && b.contains("properties")))
      return absl::OkStatus();
    return Error(path,
                 "patternProperties and additionalProperties of different parts of a schema "
                 "are not supported together; write them in one");
  }

  static std::vector<std::string> Types(const OrderedJson& type) {
    std::vector<std::string> names;
    if (type.is_string()) names.push_back(type.get<std::string>());
    if (type.is_array()) {
      for (const OrderedJson& t : type) {
        if (t.is_string()) names.push_back(t.get<std::string>());
      }
    }
    return names;
  }

  static absl::Status MergeType(const OrderedJson& value, const std::string& path,
                                OrderedJson& out) {
    OrderedJson both = OrderedJson::array();
    for (const std::string& a : Types(out)) {
      for (const std::string& b : Types(value)) {
        if (a == b) both.push_back(a);
        if ((a == "integer" && b == "number") || (a == "number" && b == "integer"))
          both.push_back("integer");
      }
    }
    if (both.empty()) return Contradiction(path, "the types that apply here exclude each other");
    out = std::move(both);
    return absl::OkStatus();
  }

  // A schema that forbids additional properties forbids those that only the other one names.
  absl::Status MergeProperties(const OrderedJson& a, const OrderedJson& b, const std::string& path,
                               int nesting_left, OrderedJson& out) {
    static const OrderedJson& none = *new OrderedJson(OrderedJson::object());
    const OrderedJson& a_properties = a.contains("properties") ? a["properties"] : none;
    const OrderedJson& b_properties = b.contains("properties") ? b["properties"] : none;
    if (!a_properties.is_object() || !b_properties.is_object())
      return Error(path, "properties must be an object");
    OrderedJson properties = OrderedJson::object();
    auto add = [&](const OrderedJson& from, const OrderedJson& other_properties,
                   const OrderedJson& other) -> absl::Status {
      for (const auto& [name, schema] : from.items()) {
        if (properties.contains(name)) continue;
        if (other_properties.contains(name)) {
          ASSIGN_OR_RETURN(properties[name],
                           Merge(schema, other_properties[name],
                                 absl::StrCat(path, "/properties/", name), nesting_left - 1));
        } else if (other.contains("additionalProperties")) {
          ASSIGN_OR_RETURN(properties[name],
                           Merge(schema, other["additionalProperties"],
                                 absl::StrCat(path, "/properties/", name), nesting_left - 1));
        } else {
          properties[name] = schema;
        }
      }
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(add(a_properties, b_properties, b));
    RETURN_IF_ERROR(add(b_properties, a_properties, a));
    if (!properties.empty() || a.contains("properties") || b.contains("properties"))
      out["properties"] = std::move(properties);
    if (!b.contains("additionalProperties")) return absl::OkStatus();
    if (!a.contains("additionalProperties")) {
      out["additionalProperties"] = b["additionalProperties"];
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(out["additionalProperties"],
                     Merge(a["additionalProperties"], b["additionalProperties"],
                           absl::StrCat(path, "/additionalProperties"), nesting_left - 1));
    return absl::OkStatus();
  }

  const ResolveRef resolve_;
};

}  // namespace

bool IsAnnotation(absl::string_view keyword) {
  static constexpr absl::string_view kAnnotations[] = {
      "title",           "description", "default",     "example",      "examples",
      "$schema",         "$id",         "$anchor",     "$comment",     "deprecated",
      "readOnly",        "$defs",       "definitions", "writeOnly",    "contentMediaType",
      "contentEncoding", "id",          "$vocabulary", "discriminator"};
  return std::find(std::begin(kAnnotations), std::end(kAnnotations), keyword) !=
             std::end(kAnnotations) ||
         absl::StartsWith(keyword, "x-");
}

bool HasFurtherTextSets(const OrderedJson& s) {
  if (!s.contains("allOf") || !s["allOf"].is_array() || s["allOf"].empty()) return false;
  return std::all_of(s["allOf"].begin(), s["allOf"].end(), [&](const OrderedJson& part) {
    if (!part.is_object() || part.size() != 1) return false;
    const std::string& key = part.begin().key();
    if (!s.contains(key) || !IsTextSet(key, part[key])) return false;
    return key == "not" ? IsPlainNot(s[key]) : s[key].is_string();
  });
}

OrderedJson AsPart(const OrderedJson& s) {
  if (!s.is_object()) return s;
  OrderedJson out = s;
  for (const auto& [unevaluated, plain] :
       {std::pair{"unevaluatedProperties", "additionalProperties"},
        {"unevaluatedItems", "items"}}) {
    if (!out.contains(unevaluated)) continue;
    if (!out.contains(plain)) out[plain] = out[unevaluated];
    out.erase(unevaluated);
  }
  return out;
}

absl::StatusOr<OrderedJson> MergeSchemas(const OrderedJson& a, const OrderedJson& b,
                                         const std::string& path, ResolveRef resolve,
                                         int nesting_left) {
  return Merger(resolve).Merge(a, b, path, nesting_left);
}

int64_t CountValues(const OrderedJson& json) {
  int64_t count = 1;
  if (json.is_structured()) {
    for (const OrderedJson& child : json) count += 1 + CountValues(child);
  }
  return count;
}

}  // namespace oneai::serving
