#include "serving/grammar/json_schema.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "models/json/json_reader.h"
#include "serving/grammar/json_keywords.h"
#include "serving/grammar/json_schema_compiler.h"
#include "serving/grammar/json_schema_disjoint.h"
#include "serving/grammar/json_schema_ids.h"
#include "serving/grammar/json_schema_merge.h"
#include "serving/grammar/json_schema_rewrite.h"
#include "serving/grammar/json_text.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int64_t kMergedValuesMax = 500'000;

bool IsSupported(absl::string_view keyword) {
  return IsIn(kObjectKeywords, keyword) || IsIn(kArrayKeywords, keyword) ||
         IsIn(kStringKeywords, keyword) || IsIn(kNumberKeywords, keyword) ||
         IsIn(kOtherKeywords, keyword) || IsAnnotation(keyword);
}

// Keywords that change nothing with this value.
bool IsWithoutEffect(absl::string_view keyword, const OrderedJson& value) {
  return keyword == "nullable" && value == false;
}

}  // namespace

absl::StatusOr<Grammar> SchemaCompiler::Compile() {
  ASSIGN_OR_RETURN(const ExprId body, Schema(root_, "#", 0));
  grammar_.start = pool().AddRule("#");
  pool().rule(grammar_.start).body = body;
  // Referred rules are made here, not where they are met: so the recursion is as deep as the
  // schema, and no deeper.
  for (size_t i = 0; i < pending_refs_.size(); ++i) {
    const auto [rule, schema, pointer] = pending_refs_[i];
    ASSIGN_OR_RETURN(const ExprId ref_body, Schema(*schema, pointer, 0));
    pool().rule(rule).body = ref_body;
  }
  return std::move(grammar_);
}

absl::StatusOr<ExprId> SchemaCompiler::Schema(const OrderedJson& s, const std::string& path,
                                              int nesting) {
  if (nesting > limits_.source_nesting_max)
    return Error(
        path, absl::StrCat("schemas are nested more than ", limits_.source_nesting_max, " deep"));
  if (pool().num_exprs() > limits_.expressions_max)
    return Error(path, absl::StrCat("the schema has more than ", limits_.expressions_max,
                                    " parts; make it smaller"));
  if (s.is_boolean()) return s.get<bool>() ? json_.Value() : pool().Never();
  if (!s.is_object()) return Error(path, "a schema must be an object or a boolean");
  if (NeedsRewriting(s)) {
    ASSIGN_OR_RETURN(
        const OrderedJson rewritten,
        RewriteSchema(s, path, [&](absl::string_view ref) { return Find(ref, path); }));
    return Schema(rewritten, path, nesting + 1);
  }
  RETURN_IF_ERROR(CheckKeywords(s, path));
  ASSIGN_OR_RETURN(const ExprId expr, Applied(s, path, nesting));
  if (pool().expr(expr).place < 0) pool().SetPlace(expr, path);
  return expr;
}

absl::Status SchemaCompiler::CheckKeywords(const OrderedJson& s, const std::string& path) {
  for (const auto& [key, value] : s.items()) {
    if (!IsSupported(key) && !IsWithoutEffect(key, value))
      return Error(path, absl::StrCat("the keyword '", key,
                                      "' is not supported; remove it and check it afterwards"));
  }
  return absl::OkStatus();
}

// Keywords that combine schemas come first: what they leave is about one type at a time.
absl::StatusOr<ExprId> SchemaCompiler::Applied(const OrderedJson& s, const std::string& path,
                                               int nesting) {
  OrderedJson rest = OrderedJson::object();
  const bool has_parts = s.contains("allOf") && !HasFurtherTextSets(s);
  for (const auto& [key, value] : s.items()) {
    if (!IsAnnotation(key) && (key != "allOf" || !has_parts) && key != "$ref" && key != "anyOf" &&
        key != "oneOf")
      rest[key] = value;
  }
  const bool has_more = !rest.empty();
  if (has_parts) return AllOf(s, path, nesting);
  if (s.contains("$ref")) {
    if (!s["$ref"].is_string()) return Error(path, "$ref must be a string");
    if (!has_more && !s.contains("anyOf") && !s.contains("oneOf"))
      return Reference(s["$ref"].get<std::string>(), path);
    OrderedJson without = s;
    without.erase("$ref");
    ASSIGN_OR_RETURN(const OrderedJson merged,
                     Merge(OrderedJson{{"$ref", s["$ref"]}}, without, path));
    return Schema(merged, path, nesting + 1);
  }
  if (s.contains("anyOf")) {
    if (s.contains("oneOf")) rest["oneOf"] = s["oneOf"];
    return AnyOf(s["anyOf"], rest, path + "/anyOf", nesting);
  }
  if (s.contains("oneOf")) return OneOf(s["oneOf"], rest, path + "/oneOf", nesting);
  if (s.contains("enum") || s.contains("const")) return Values(rest, path);
  return Typed(rest, path, nesting);
}

absl::StatusOr<OrderedJson> SchemaCompiler::Merge(const OrderedJson& a, const OrderedJson& b,
                                                  const std::string& path) {
  ASSIGN_OR_RETURN(OrderedJson merged,
                   MergeSchemas(
                       a, b, path, [&](absl::string_view ref) { return Find(ref, path); },
                       limits_.source_nesting_max));
  num_merged_ += CountValues(merged);
  if (num_merged_ > kMergedValuesMax)
    return Error(path, "allOf, anyOf and $ref multiply each other to a schema that is too large");
  return merged;
}

absl::StatusOr<ExprId> SchemaCompiler::AllOf(const OrderedJson& s, const std::string& path,
                                             int nesting) {
  if (!s["allOf"].is_array() || s["allOf"].empty())
    return Error(path, "allOf must be a list of schemas");
  OrderedJson merged = s;
  merged.erase("allOf");
  for (const OrderedJson& part : s["allOf"]) {
    ASSIGN_OR_RETURN(merged, Merge(merged, AsPart(part), path + "/allOf"));
  }
  return Schema(merged, path, nesting + 1);
}

absl::StatusOr<std::vector<OrderedJson>> SchemaCompiler::Branches(const OrderedJson& branches,
                                                                  const OrderedJson& rest,
                                                                  const std::string& path) {
  if (!branches.is_array() || branches.empty()) return Error(path, "expected a list of schemas");
  std::vector<OrderedJson> parts;
  for (size_t i = 0; i < branches.size(); ++i) {
    if (rest.empty()) {
      parts.push_back(branches[i]);
      continue;
    }
    absl::StatusOr<OrderedJson> merged =
        Merge(rest, AsPart(branches[i]), absl::StrCat(path, "/", i));
    if (!merged.ok() && !IsContradiction(merged.status())) return merged.status();
    parts.push_back(merged.ok() ? *std::move(merged) : OrderedJson(nullptr));
  }
  return parts;
}

absl::StatusOr<ExprId> SchemaCompiler::AnyOf(const OrderedJson& branches, const OrderedJson& rest,
                                             const std::string& path, int nesting) {
  ASSIGN_OR_RETURN(const std::vector<OrderedJson> parts, Branches(branches, rest, path));
  std::vector<ExprId> ways;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].is_null() && !rest.empty()) continue;
    const absl::StatusOr<ExprId> way =
        Schema(rest.empty() ? branches[i] : parts[i], absl::StrCat(path, "/", i), nesting + 1);
    if (way.ok()) {
      ways.push_back(*way);
    } else if (!IsContradiction(way.status())) {
      return way.status();
    }
  }
  if (ways.empty()) return Contradiction(path, "every branch contradicts itself or what is beside");
  return pool().Alternate(std::move(ways));
}

absl::StatusOr<ExprId> SchemaCompiler::OneOf(const OrderedJson& branches, const OrderedJson& rest,
                                             const std::string& path, int nesting) {
  ASSIGN_OR_RETURN(const std::vector<OrderedJson> parts, Branches(branches, rest, path));
  std::vector<ExprId> ways;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].is_null() && !rest.empty()) continue;
    const std::string at = absl::StrCat(path, "/", i);
    const absl::StatusOr<OrderedJson> left = Without(parts, i, at);
    if (IsContradiction(left.status())) continue;
    ASSIGN_OR_RETURN(const OrderedJson exclusive, left);
    const bool is_whole = exclusive == parts[i];
    const absl::StatusOr<ExprId> way =
        Schema(is_whole && rest.empty() ? branches[i] : exclusive, at, nesting + 1);
    if (way.ok()) {
      ways.push_back(*way);
      continue;
    }
    if (IsContradiction(way.status())) continue;
    if (is_whole) return way.status();
    return Error(at, absl::StrCat("a text may be valid for another branch of this oneOf, too, and "
                                  "what both allow cannot be left out (",
                                  way.status().message(),
                                  "); make the branches exclude each other, for example by a "
                                  "constant in a required property, or write anyOf"));
  }
  if (ways.empty()) return Contradiction(path, "no branch allows what the others do not");
  return pool().Alternate(std::move(ways));
}

absl::StatusOr<OrderedJson> SchemaCompiler::Without(const std::vector<OrderedJson>& parts,
                                                    size_t branch, const std::string& path) {
  OrderedJson others = OrderedJson::array();
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i == branch || parts[i].is_null()) continue;
    const auto find = [&](absl::string_view ref) { return Find(ref, path); };
    if (AreDisjoint(parts[branch], parts[i], find, disjoint_steps_left_)) continue;
    num_merged_ += CountValues(parts[i]);
    if (num_merged_ > kMergedValuesMax)
      return Error(path, "the branches of this oneOf overlap too much to be told apart");
    OrderedJson other = parts[i];
    // Nothing of another type is left, and types are the hardest to negate.
    if (other.is_object() && other.contains("type") && HasOnlyTypes(parts[branch], other["type"]))
      other.erase("type");
    if (other.is_object() && other.empty())
      return Contradiction(path, "another branch allows all of it");
    others.push_back(std::move(other));
  }
  if (others.empty()) return parts[branch];
  OrderedJson excluded = others.size() == 1 ? others[0] : OrderedJson{{"anyOf", others}};
  return OrderedJson{
      {"allOf", OrderedJson::array({parts[branch], OrderedJson{{"not", std::move(excluded)}}})}};
}

// The schema at "#/..." of this document.
absl::StatusOr<const OrderedJson*> SchemaCompiler::Find(absl::string_view ref,
                                                        const std::string& path) {
  for (int hops = 0; hops < 64; ++hops) {
    if (ref != "#" && !absl::StartsWith(ref, "#/"))
      return Error(path, absl::StrCat("$ref '", ref,
                                      "': only references within the schema (#/..., an "
                                      "$anchor or $id in it) are supported"));
    const OrderedJson* found = &root_;
    const absl::string_view pointer = absl::StripPrefix(absl::StripPrefix(ref, "#"), "/");
    for (absl::string_view part : absl::StrSplit(pointer, '/')) {
      if (pointer.empty()) break;
      const std::string key = absl::StrReplaceAll(part, {{"~1", "/"}, {"~0", "~"}});
      size_t index = 0;
      if (found->is_object() && found->contains(key)) {
        found = &(*found)[key];
      } else if (found->is_array() && absl::SimpleAtoi(key, &index) && index < found->size()) {
        found = &(*found)[index];
      } else {
        return Error(path, absl::StrCat("$ref '", ref, "' leads nowhere"));
      }
    }
    const bool is_chain = found->is_object() && found->size() == 1 && found->contains("$ref") &&
                          (*found)["$ref"].is_string();
    if (!is_chain) return found;
    ref = (*found)["$ref"].get_ref<const std::string&>();
  }
  return Error(path, "this $ref leads to itself");
}

absl::StatusOr<ExprId> SchemaCompiler::Reference(const std::string& ref, const std::string& path) {
  ASSIGN_OR_RETURN(const OrderedJson* schema, Find(ref, path));
  const auto [it, added] = refs_.try_emplace(schema, -1);
  if (added) {
    it->second = pool().AddRule(ref);
    pending_refs_.push_back({it->second, schema, ref});
  }
  return pool().Call(it->second);
}

// enum and const, less those of another type.
absl::StatusOr<ExprId> SchemaCompiler::Values(const OrderedJson& s, const std::string& path) {
  for (const auto& [key, value] : s.items()) {
    const bool is_told = key == "enum" || key == "const" || key == "type" || key == "not" ||
                         key == "allOf" || IsIn(kStringKeywords, key) || IsIn(kNumberKeywords, key);
    if (!is_told && !IsWithoutEffect(key, value) && HasStructured(s))
      return Error(path, absl::StrCat("'", key,
                                      "' beside enum or const is not supported; leave "
                                      "out the values that it excludes"));
  }
  OrderedJson values = OrderedJson::array();
  if (s.contains("enum")) {
    if (!s["enum"].is_array()) return Error(path, "enum must be a list");
    values = s["enum"];
  }
  if (s.contains("const")) {
    const bool allowed =
        !s.contains("enum") || std::find(values.begin(), values.end(), s["const"]) != values.end();
    values = OrderedJson::array();
    if (allowed) values.push_back(s["const"]);
  }
  std::vector<std::string> types(std::begin(kTypes), std::end(kTypes));
  if (s.contains("type")) {
    ASSIGN_OR_RETURN(types, Types(s["type"], path));
  }
  std::vector<ExprId> ways;
  for (const OrderedJson& value : values) {
    const bool fits = std::any_of(types.begin(), types.end(),
                                  [&](const std::string& type) { return IsOfType(value, type); });
    if (!fits) continue;
    ASSIGN_OR_RETURN(const bool is_left, scalars_.Fits(value, s, path));
    if (is_left) ways.push_back(json_.Literal(value));
  }
  if (ways.empty()) return Contradiction(path, "enum or const allows no value of the type");
  return pool().Alternate(std::move(ways));
}

// Whether an enum or const has objects or arrays, of which not all keywords can be told.
bool SchemaCompiler::HasStructured(const OrderedJson& s) {
  if (s.contains("const") && s["const"].is_structured()) return true;
  if (!s.contains("enum") || !s["enum"].is_array()) return false;
  return std::any_of(s["enum"].begin(), s["enum"].end(),
                     [](const OrderedJson& value) { return value.is_structured(); });
}

bool SchemaCompiler::IsOfType(const OrderedJson& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "integer") return value.is_number_integer();
  return value.is_number();
}

absl::StatusOr<std::vector<std::string>> SchemaCompiler::Types(const OrderedJson& type,
                                                               const std::string& path) {
  std::vector<std::string> names;
  const OrderedJson list = type.is_array() ? type : OrderedJson::array({type});
  for (const OrderedJson& t : list) {
    if (!t.is_string() || !IsIn(kTypes, t.get<std::string>()))
      return Error(path, absl::StrCat("type must be one of ", absl::StrJoin(kTypes, ", "),
                                      " or a list of them"));
    names.push_back(t.get<std::string>());
  }
  if (names.empty()) return Error(path, "type is an empty list");
  return names;
}

// Without "type", the keywords tell: properties are those of an object.
absl::StatusOr<ExprId> SchemaCompiler::Typed(const OrderedJson& s, const std::string& path,
                                             int nesting) {
  std::vector<std::string> types;
  if (s.contains("type")) {
    ASSIGN_OR_RETURN(types, Types(s["type"], path));
  } else {
    auto has_any = [&](const auto& keywords) {
      return std::any_of(std::begin(keywords), std::end(keywords),
                         [&](absl::string_view k) { return s.contains(std::string(k)); });
    };
    if (has_any(kObjectKeywords)) types.push_back("object");
    if (has_any(kArrayKeywords)) types.push_back("array");
    if (has_any(kStringKeywords)) types.push_back("string");
    if (has_any(kNumberKeywords)) types.push_back("number");
    if (types.empty() && s.contains("not"))
      types = {"object", "array", "string", "integer", "boolean", "null"};
    if (types.empty()) return json_.Value();
  }
  std::vector<ExprId> ways;
  for (const std::string& type : types) {
    ASSIGN_OR_RETURN(const ExprId way, OfType(type, s, path, nesting));
    ways.push_back(way);
  }
  return pool().Alternate(std::move(ways));
}

absl::StatusOr<ExprId> SchemaCompiler::OfType(const std::string& type, const OrderedJson& s,
                                              const std::string& path, int nesting) {
  if (type == "object") return Object(s, path, nesting);
  if (type == "array") return Array(s, path, nesting);
  if (type == "string") return scalars_.String(s, path);
  if (type == "boolean" || type == "null") return Constants(type == "null", s, path);
  return scalars_.Number(type == "integer", s, path);
}

// true, false or null, less what "not" excludes.
absl::StatusOr<ExprId> SchemaCompiler::Constants(bool is_null, const OrderedJson& s,
                                                 const std::string& path) {
  if (!s.contains("not")) return is_null ? json_.Null() : json_.Boolean();
  std::vector<ExprId> ways;
  const std::vector<OrderedJson> values =
      is_null ? std::vector<OrderedJson>{nullptr} : std::vector<OrderedJson>{true, false};
  for (const OrderedJson& value : values) {
    ASSIGN_OR_RETURN(const bool is_left, scalars_.Fits(value, s, path));
    if (is_left) ways.push_back(json_.Literal(value));
  }
  return pool().Alternate(std::move(ways));
}

// "not" with a list of values, for objects and arrays.
absl::Status SchemaCompiler::RefuseExcluded(const OrderedJson& s, const char* type,
                                            const std::string& path) {
  if (!s.contains("not") || !s["not"].contains("enum")) return absl::OkStatus();
  for (const OrderedJson& value : s["not"]["enum"]) {
    if (IsOfType(value, type))
      return Error(
          path, absl::StrCat("'not' with an ", type, " is not supported; exclude it afterwards"));
  }
  return absl::OkStatus();
}

// A rule of its own for what is repeated or large, so that it is not written out many times.
ExprId SchemaCompiler::AsRule(ExprId body, const std::string& path) {
  const RuleId rule = pool().AddRule(path);
  pool().rule(rule).body = body;
  pool().rule(rule).keep = true;
  return pool().Call(rule);
}

absl::StatusOr<Grammar> ParseJsonSchema(absl::string_view text, JsonWhitespace whitespace,
                                        const GrammarLimits& limits) {
  const models::JsonLimits json_limits = {.bytes_max = limits.source_bytes_max,
                                          .values_max = limits.expressions_max,
                                          .depth_max = 2 * limits.source_nesting_max + 2};
  ASSIGN_OR_RETURN(OrderedJson root, models::ParseOrderedJson(text, "JSON schema", json_limits));
  RETURN_IF_ERROR(ReferToPlaces(root));
  return SchemaCompiler(root, whitespace, limits).Compile();
}

Grammar JsonObjectGrammar(JsonWhitespace whitespace) {
  Grammar grammar;
  JsonText json(grammar.pool, whitespace);
  const ExprId object = json.Object();
  grammar.start = grammar.pool.AddRule("JSON object");
  grammar.pool.rule(grammar.start).body = object;
  return grammar;
}

}  // namespace oneai::serving
