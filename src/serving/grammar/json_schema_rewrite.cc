#include "serving/grammar/json_schema_rewrite.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int kNestingMax = 16;

absl::Status Error(const std::string& path, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", message));
}

OrderedJson Of(const char* key, OrderedJson value) {
  OrderedJson schema = OrderedJson::object();
  schema[key] = std::move(value);
  return schema;
}

OrderedJson List(std::vector<OrderedJson> schemas) {
  OrderedJson list = OrderedJson::array();
  for (OrderedJson& schema : schemas) list.push_back(std::move(schema));
  return list;
}

// An object without the property.
OrderedJson Lacks(const std::string& name) {
  return {{"type", "object"}, {"properties", Of(name.c_str(), false)}};
}

// "not" that is compiled as it stands.
bool IsPlainNot(const OrderedJson& s) {
  int num_keywords = 0;
  for (const auto& [key, value] : s.items()) num_keywords += IsAnnotation(key) ? 0 : 1;
  return num_keywords == 1 && ((s.contains("enum") && s["enum"].is_array()) ||
                               (s.contains("pattern") && s["pattern"].is_string()));
}

// What a schema does not allow, keyword by keyword: one of them must fail.
class Negation {
 public:
  explicit Negation(ResolveRef resolve) : resolve_(resolve) {}

  absl::StatusOr<OrderedJson> Negate(const OrderedJson& s, const std::string& path, int nesting) {
    if (nesting > kNestingMax) return Error(path, "'not' and 'if' are nested too deeply");
    if (s.is_boolean()) return OrderedJson(!s.get<bool>());
    if (!s.is_object()) return Error(path, "a schema must be an object or a boolean");
    std::vector<OrderedJson> ways;
    for (const auto& [key, value] : s.items()) {
      if (IsAnnotation(key)) continue;
      ASSIGN_OR_RETURN(OrderedJson way, OfKeyword(key, value, path, nesting));
      if (way != false) ways.push_back(std::move(way));
    }
    if (ways.empty()) return OrderedJson(false);
    return ways.size() == 1 ? ways[0] : Of("anyOf", List(std::move(ways)));
  }

 private:
  absl::StatusOr<OrderedJson> OfKeyword(const std::string& key, const OrderedJson& value,
                                        const std::string& path, int nesting) {
    if (key == "const") return Of("not", Of("enum", OrderedJson::array({value})));
    if (key == "enum") return Of("not", Of("enum", value));
    if (key == "pattern") {
      OrderedJson way = Of("type", "string");
      way["not"] = Of("pattern", value);
      return way;
    }
    if (key == "type") return OtherTypes(value, path);
    if (key == "not") return value;
    if (key == "$ref" && value.is_string()) {
      ASSIGN_OR_RETURN(const OrderedJson* target, resolve_(value.get<std::string>()));
      return Negate(*target, path, nesting + 1);
    }
    if (key == "anyOf") return OfEach(value, "allOf", path + "/anyOf", nesting);
    if (key == "allOf") return OfEach(value, "anyOf", path + "/allOf", nesting);
    if (key == "required") return LacksOneOf(value, path);
    if (key == "properties") return HasAnother(value, path, nesting);
    return Bound(key, value, path);
  }

  absl::StatusOr<OrderedJson> OfEach(const OrderedJson& parts, const char* join,
                                     const std::string& path, int nesting) {
    if (!parts.is_array()) return Error(path, "expected a list of schemas");
    std::vector<OrderedJson> negated;
    for (const OrderedJson& part : parts) {
      ASSIGN_OR_RETURN(OrderedJson one, Negate(part, path, nesting + 1));
      negated.push_back(std::move(one));
    }
    return Of(join, List(std::move(negated)));
  }

  static absl::StatusOr<OrderedJson> OtherTypes(const OrderedJson& type, const std::string& path) {
    const OrderedJson named = type.is_array() ? type : OrderedJson::array({type});
    const auto has = [&](const char* t) {
      return std::find(named.begin(), named.end(), t) != named.end();
    };
    if (has("integer") && !has("number"))
      return Error(path,
                   "the opposite of \"type\": \"integer\" is not supported; write "
                   "\"number\", or leave it out");
    OrderedJson rest = OrderedJson::array();
    for (const char* t : {"object", "array", "string", "number", "boolean", "null"}) {
      if (!has(t)) rest.push_back(t);
    }
    return rest.empty() ? OrderedJson(false) : Of("type", std::move(rest));
  }

  static absl::StatusOr<OrderedJson> LacksOneOf(const OrderedJson& names, const std::string& path) {
    std::vector<OrderedJson> ways;
    if (!names.is_array()) return Error(path, "required must be a list of names");
    for (const OrderedJson& name : names) {
      if (!name.is_string()) return Error(path, "required must be a list of names");
      ways.push_back(Lacks(name.get<std::string>()));
    }
    if (ways.empty()) return OrderedJson(false);
    return Of("anyOf", List(std::move(ways)));
  }

  // Some property is there, with a value that its schema does not allow.
  absl::StatusOr<OrderedJson> HasAnother(const OrderedJson& properties, const std::string& path,
                                         int nesting) {
    if (!properties.is_object()) return Error(path, "properties must be an object");
    std::vector<OrderedJson> ways;
    for (const auto& [name, schema] : properties.items()) {
      ASSIGN_OR_RETURN(OrderedJson other,
                       Negate(schema, absl::StrCat(path, "/properties/", name), nesting + 1));
      if (other == false) continue;
      OrderedJson way = Of("type", "object");
      way["properties"] = Of(name.c_str(), std::move(other));
      way["required"] = OrderedJson::array({name});
      ways.push_back(std::move(way));
    }
    if (ways.empty()) return OrderedJson(false);
    return Of("anyOf", List(std::move(ways)));
  }

  static absl::StatusOr<OrderedJson> Bound(const std::string& key, const OrderedJson& value,
                                           const std::string& path) {
    struct Pair {
      const char *key, *type, *opposite;
      int step;  // to the nearest count on the other side; 0: bounds of numbers
    };
    static constexpr Pair kPairs[] = {{"minimum", "number", "exclusiveMaximum", 0},
                                      {"maximum", "number", "exclusiveMinimum", 0},
                                      {"exclusiveMinimum", "number", "maximum", 0},
                                      {"exclusiveMaximum", "number", "minimum", 0},
                                      {"minLength", "string", "maxLength", -1},
                                      {"maxLength", "string", "minLength", 1},
                                      {"minItems", "array", "maxItems", -1},
                                      {"maxItems", "array", "minItems", 1},
                                      {"minProperties", "object", "maxProperties", -1},
                                      {"maxProperties", "object", "minProperties", 1}};
    for (const Pair& pair : kPairs) {
      if (key != pair.key || !value.is_number()) continue;
      if (pair.step != 0 && value.get<int64_t>() + pair.step < 0) return OrderedJson(false);
      OrderedJson way = Of("type", pair.type);
      way[pair.opposite] = pair.step == 0 ? value : OrderedJson(value.get<int64_t>() + pair.step);
      return way;
    }
    return Error(path, absl::StrCat("the keyword '", key,
                                    "' inside 'not' or 'if' is not supported; write out what is "
                                    "allowed instead"));
  }

  const ResolveRef resolve_;
};

// Draft 7's dependencies: lists of names, or schemas.
absl::Status SplitDependencies(const OrderedJson& dependencies, const std::string& path,
                               OrderedJson& out, std::vector<OrderedJson>& conditions) {
  if (!dependencies.is_object()) return Error(path, "dependencies must be an object");
  for (const auto& [name, needed] : dependencies.items()) {
    if (needed.is_array()) {
      if (!out.contains("dependentRequired")) out["dependentRequired"] = OrderedJson::object();
      out["dependentRequired"][name] = needed;
      continue;
    }
    OrderedJson present = Of("required", OrderedJson::array({name}));
    conditions.push_back(
        Of("anyOf", List({Lacks(name), Of("allOf", List({std::move(present), needed}))})));
  }
  return absl::OkStatus();
}

void WriteItemsListAsPrefix(OrderedJson& out) {
  out["prefixItems"] = out["items"];
  out.erase("items");
  out["items"] = out.contains("additionalItems") ? out["additionalItems"] : OrderedJson(true);
  out.erase("additionalItems");
}

}  // namespace

bool NeedsRewriting(const OrderedJson& s) {
  for (const char* key : {"if", "then", "else", "dependentSchemas", "dependencies", "nullable"}) {
    if (s.contains(key)) return true;
  }
  if (s.contains("items") && s["items"].is_array()) return true;
  if (s.contains("additionalItems")) return true;
  return s.contains("not") && !(s["not"].is_object() && IsPlainNot(s["not"]));
}

absl::StatusOr<OrderedJson> RewriteSchema(const OrderedJson& s, const std::string& path,
                                          ResolveRef resolve) {
  OrderedJson out = s;
  std::vector<OrderedJson> conditions;
  Negation negation(resolve);
  if (s.contains("not") && !(s["not"].is_object() && IsPlainNot(s["not"]))) {
    ASSIGN_OR_RETURN(OrderedJson opposite, negation.Negate(s["not"], path + "/not", 0));
    conditions.push_back(std::move(opposite));
    out.erase("not");
  }
  if (s.contains("if") && (s.contains("then") || s.contains("else"))) {
    ASSIGN_OR_RETURN(OrderedJson opposite, negation.Negate(s["if"], path + "/if", 0));
    const OrderedJson then = s.contains("then") ? s["then"] : OrderedJson(true);
    const OrderedJson otherwise = s.contains("else") ? s["else"] : OrderedJson(true);
    conditions.push_back(Of("anyOf", List({Of("allOf", List({s["if"], then})),
                                           Of("allOf", List({std::move(opposite), otherwise}))})));
  }
  for (const char* key : {"if", "then", "else"}) out.erase(key);
  for (const char* key : {"dependentSchemas", "dependencies"}) {
    if (!s.contains(key)) continue;
    out.erase(key);
    RETURN_IF_ERROR(SplitDependencies(s[key], absl::StrCat(path, "/", key), out, conditions));
  }
  if (s.contains("items") && s["items"].is_array()) WriteItemsListAsPrefix(out);
  out.erase("additionalItems");  // says nothing without a list
  if (s.contains("nullable")) {
    out.erase("nullable");
    if (s["nullable"] == true) {
      OrderedJson plain = std::move(out);
      return Of("anyOf", List({std::move(plain), Of("type", "null")}));
    }
  }
  if (conditions.empty()) return out;
  OrderedJson all =
      out.contains("allOf") && out["allOf"].is_array() ? out["allOf"] : OrderedJson::array();
  for (OrderedJson& condition : conditions) all.push_back(std::move(condition));
  out["allOf"] = std::move(all);
  return out;
}

}  // namespace oneai::serving
