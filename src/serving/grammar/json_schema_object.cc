// Objects: listed properties in order, then others by their names.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "serving/grammar/json_keywords.h"
#include "serving/grammar/json_schema_compiler.h"
#include "serving/grammar/json_schema_merge.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int64_t kUnbounded = Expr::kUnbounded;
constexpr size_t kExcludedNameBytesMax = 256;

std::string EscapePointer(absl::string_view key) {
  return absl::StrReplaceAll(key, {{"~", "~0"}, {"/", "~1"}});
}

}  // namespace

absl::StatusOr<ExprId> SchemaCompiler::Object(const OrderedJson& s, const std::string& path,
                                              int nesting) {
  std::vector<std::string> required;
  if (s.contains("required")) {
    if (!s["required"].is_array()) return Error(path, "required must be a list of names");
    for (const OrderedJson& name : s["required"]) {
      if (!name.is_string()) return Error(path, "required must be a list of names");
      required.push_back(name.get<std::string>());
    }
  }
  RETURN_IF_ERROR(RefuseExcluded(s, "object", path));
  static const OrderedJson& none = *new OrderedJson(OrderedJson::object());
  const OrderedJson& properties = s.contains("properties") ? s["properties"] : none;
  if (!properties.is_object()) return Error(path, "properties must be an object");
  const OrderedJson& by_pattern = s.contains("patternProperties") ? s["patternProperties"] : none;
  // Open when nothing is said of its properties, closed when they are listed: no one who lists
  // them wants a model to make up more.
  const bool is_listed = s.contains("properties") || s.contains("patternProperties");
  const OrderedJson additional = s.contains("additionalProperties")    ? s["additionalProperties"]
                                 : s.contains("unevaluatedProperties") ? s["unevaluatedProperties"]
                                                                       : OrderedJson(!is_listed);
  ASSIGN_OR_RETURN(const MemberRules rules, RulesOf(s, path));
  const bool has_rules = rules.min > 0 || rules.max != kUnbounded || !rules.dependencies.empty();
  if (properties.empty() && required.empty() && additional == true && by_pattern.empty() &&
      !s.contains("propertyNames") && !has_rules)
    return json_.Object();

  std::vector<NamePattern> patterns;
  for (const auto& [pattern, schema] : by_pattern.items()) {
    ASSIGN_OR_RETURN(const ExprId content, scalars_.Pattern(pattern, path + "/patternProperties"));
    patterns.push_back({content, &schema});
  }
  if (patterns.size() > kPatternPropertiesMax)
    return Error(path, absl::StrCat("patternProperties has ", patterns.size(), " patterns; ",
                                    kPatternPropertiesMax, " are supported"));
  std::optional<ExprId> allowed;
  if (s.contains("propertyNames")) {
    ASSIGN_OR_RETURN(allowed, NamesOf(s["propertyNames"], path + "/propertyNames"));
  }

  std::vector<JsonMember> members;
  std::vector<std::string> names;
  // A property that is listed, or that another keyword names: then it is one of the additional.
  auto add = [&](const std::string& name, const OrderedJson* listed, const std::string& at,
                 bool is_optional) -> absl::Status {
    if (std::find(names.begin(), names.end(), name) != names.end()) return absl::OkStatus();
    names.push_back(name);
    OrderedJson schema = listed != nullptr ? *listed : OrderedJson(true);
    bool is_additional = listed == nullptr;
    for (const NamePattern& pattern : patterns) {
      ASSIGN_OR_RETURN(const bool matches,
                       scalars_.Contains(pattern.content, JsonScalars::Spell(name), at));
      if (!matches) continue;
      is_additional = false;
      ASSIGN_OR_RETURN(schema, Merge(schema, *pattern.schema, at));
    }
    if (is_additional) schema = additional;
    if (allowed.has_value()) {
      ASSIGN_OR_RETURN(const bool is_allowed,
                       scalars_.Contains(*allowed, JsonScalars::Spell(name), at));
      if (!is_allowed) schema = false;
    }
    if (schema == false && !is_optional)
      return Error(path, absl::StrCat("'", name, "' is required and not among the properties"));
    ASSIGN_OR_RETURN(const ExprId value, Schema(schema, at, nesting + 1));
    if (pool().expr(value).kind == Expr::Kind::kNever && is_optional) return absl::OkStatus();
    members.push_back(
        {name, pool().Concat({pool().Bytes(OrderedJson(name).dump()), json_.Colon(), value}),
         is_optional});
    return absl::OkStatus();
  };
  for (const auto& [name, schema] : properties.items()) {
    const bool is_optional = std::find(required.begin(), required.end(), name) == required.end();
    RETURN_IF_ERROR(
        add(name, &schema, absl::StrCat(path, "/properties/", EscapePointer(name)), is_optional));
  }
  for (const std::string& name : required)
    RETURN_IF_ERROR(add(name, nullptr, path + "/additionalProperties", false));
  for (const MemberRules::Dependency& dependency : rules.dependencies) {
    RETURN_IF_ERROR(add(dependency.trigger, nullptr, path + "/additionalProperties", true));
    for (const std::string& name : dependency.needed)
      RETURN_IF_ERROR(add(name, nullptr, path + "/additionalProperties", true));
  }

  std::vector<ExprId> others;
  if (additional != false || !patterns.empty()) {
    for (const std::string& name : names) {
      if (name.size() > kExcludedNameBytesMax)
        return Error(path, absl::StrCat("beside additionalProperties, names of properties have "
                                        "at most ",
                                        kExcludedNameBytesMax, " bytes"));
    }
    ASSIGN_OR_RETURN(others, OtherMembers(names, patterns, allowed, additional, path, nesting));
  }
  return Members(members, others, rules, path);
}

// Members whose names are not listed, by the patterns that the names match.
absl::StatusOr<std::vector<ExprId>> SchemaCompiler::OtherMembers(
    const std::vector<std::string>& names, const std::vector<NamePattern>& patterns,
    std::optional<ExprId> allowed, const OrderedJson& additional, const std::string& path,
    int nesting) {
  std::vector<ExprId> members;
  if (patterns.empty() && !allowed.has_value()) {
    ASSIGN_OR_RETURN(const ExprId value,
                     Schema(additional, path + "/additionalProperties", nesting + 1));
    members.push_back(pool().Concat(
        {json_.StringExcept(names), json_.Colon(), AsRule(value, path + "/additionalProperties")}));
    return members;
  }
  const std::string at = path + (patterns.empty() ? "/propertyNames" : "/patternProperties");
  ASSIGN_OR_RETURN(const std::vector<KeyKind> kinds,
                   KindsOfKeys(json_, scalars_, names, patterns, allowed, pool(), at));
  for (const KeyKind& kind : kinds) {
    OrderedJson schema = kind.patterns.empty() ? additional : OrderedJson(true);
    for (size_t pattern : kind.patterns) {
      ASSIGN_OR_RETURN(schema, Merge(schema, *patterns[pattern].schema, at));
    }
    if (schema == false) continue;
    ASSIGN_OR_RETURN(const ExprId value, Schema(schema, at, nesting + 1));
    members.push_back(
        pool().Concat({json_.QuotedRule(at, kind.content), json_.Colon(), AsRule(value, at)}));
  }
  return members;
}

absl::StatusOr<ExprId> SchemaCompiler::Members(std::vector<JsonMember> members,
                                               std::vector<ExprId> others, const MemberRules& rules,
                                               const std::string& path) {
  const bool has_others = !others.empty();
  ExprId other = pool().Alternate(std::move(others));
  if (rules.min > 0 || rules.max != kUnbounded || !rules.dependencies.empty()) {
    for (JsonMember& member : members) member.text = AsRule(member.text, path);
    if (has_others) other = AsRule(other, path);
    ASSIGN_OR_RETURN(
        const ExprId list,
        CountedMembers(pool(), json_.Comma(), members,
                       has_others ? std::optional<ExprId>(other) : std::nullopt, rules, path));
    return json_.Bracketed("{", list, "}", false);
  }
  std::vector<ExprId> items;
  std::vector<bool> optional;
  for (const JsonMember& member : members) {
    items.push_back(member.text);
    optional.push_back(member.is_optional);
  }
  if (has_others) {
    items.push_back(pool().Concat(
        {other, pool().Repeat(pool().Concat({json_.Comma(), other}), 0, kUnbounded)}));
    optional.push_back(true);
  }
  if (items.empty()) return pool().Bytes("{}");
  const bool may_be_empty = std::find(optional.begin(), optional.end(), false) == optional.end();
  return json_.Bracketed("{", pool().List(json_.Comma(), items, optional), "}", may_be_empty);
}

absl::StatusOr<MemberRules> SchemaCompiler::RulesOf(const OrderedJson& s, const std::string& path) {
  MemberRules rules;
  ASSIGN_OR_RETURN(rules.min, SchemaCount(s, "minProperties", 0, path));
  ASSIGN_OR_RETURN(rules.max, SchemaCount(s, "maxProperties", kUnbounded, path));
  if (rules.max != kUnbounded && rules.max < rules.min)
    return Contradiction(path, "maxProperties is less than minProperties");
  if (!s.contains("dependentRequired")) return rules;
  if (!s["dependentRequired"].is_object())
    return Error(path, "dependentRequired must be an object of lists of names");
  for (const auto& [trigger, needed] : s["dependentRequired"].items()) {
    MemberRules::Dependency dependency = {.trigger = trigger, .needed = {}};
    for (const OrderedJson& name : needed) {
      if (!name.is_string())
        return Error(path, "dependentRequired must be an object of lists of names");
      dependency.needed.push_back(name.get<std::string>());
    }
    if (!dependency.needed.empty()) rules.dependencies.push_back(std::move(dependency));
  }
  return rules;
}

// What names propertyNames allows.
absl::StatusOr<ExprId> SchemaCompiler::NamesOf(const OrderedJson& s, const std::string& path) {
  if (s.is_boolean()) return s.get<bool>() ? json_.ContentExcept({}) : pool().Never();
  if (!s.is_object()) return Error(path, "a schema must be an object or a boolean");
  if (s.contains("$ref") && s["$ref"].is_string() && s.size() == 1) {
    ASSIGN_OR_RETURN(const OrderedJson* target, Find(s["$ref"].get<std::string>(), path));
    return NamesOf(*target, path);
  }
  for (const auto& [key, value] : s.items()) {
    const bool is_known = IsAnnotation(key) || IsIn(kStringKeywords, key) || key == "enum" ||
                          key == "const" || (key == "type" && value == "string");
    if (!is_known)
      return Error(path, absl::StrCat("the keyword '", key,
                                      "' is not supported here; patterns, "
                                      "lengths, formats, enum and const are"));
  }
  if (!s.contains("enum") && !s.contains("const")) return scalars_.StringContent(s, path);
  const OrderedJson values = s.contains("const") ? OrderedJson::array({s["const"]}) : s["enum"];
  std::vector<ExprId> ways;
  for (const OrderedJson& value : values) {
    ASSIGN_OR_RETURN(const bool is_left, scalars_.Fits(value, s, path));
    if (value.is_string() && is_left)
      ways.push_back(pool().Bytes(JsonScalars::Spell(value.get<std::string>())));
  }
  return pool().Alternate(std::move(ways));
}

}  // namespace oneai::serving
