// Arrays: elements by place, by count, by what they contain, each once.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/grammar/json_schema_compiler.h"
#include "serving/grammar/json_schema_disjoint.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int64_t kUnbounded = Expr::kUnbounded;
// Expressions are read recursively, and these nest with the number.
constexpr size_t kPrefixItemsMax = 500;
constexpr size_t kDistinctValuesMax = 200;

}  // namespace

absl::StatusOr<ExprId> SchemaCompiler::Array(const OrderedJson& s, const std::string& path,
                                             int nesting) {
  ASSIGN_OR_RETURN(const int64_t min, SchemaCount(s, "minItems", 0, path));
  ASSIGN_OR_RETURN(const int64_t max, SchemaCount(s, "maxItems", kUnbounded, path));
  if (max != kUnbounded && max < min) return Contradiction(path, "maxItems is less than minItems");
  std::vector<ExprId> items;
  if (s.contains("prefixItems")) {
    const OrderedJson& prefix = s["prefixItems"];
    if (!prefix.is_array() || prefix.size() > kPrefixItemsMax)
      return Error(path, absl::StrCat("prefixItems must be a list of at most ", kPrefixItemsMax,
                                      " schemas"));
    for (size_t i = 0; i < prefix.size(); ++i) {
      ASSIGN_OR_RETURN(const ExprId item,
                       Schema(prefix[i], absl::StrCat(path, "/prefixItems/", i), nesting + 1));
      items.push_back(item);
    }
  }
  RETURN_IF_ERROR(RefuseExcluded(s, "array", path));
  const bool is_unique = s.contains("uniqueItems") && s["uniqueItems"] == true;
  if (is_unique && max != 0 && max != 1) return Distinct(s, min, max, path);
  ExprId more = pool().Never();
  // Nothing after prefixItems unless the schema says what.
  const char* key = s.contains("items") ? "items" : "unevaluatedItems";
  if (s.contains(key)) {
    ASSIGN_OR_RETURN(more, Schema(s[key], absl::StrCat(path, "/", key), nesting + 1));
    if (min > 1 || (max != kUnbounded && max > 1)) more = AsRule(more, path + "/items");
  } else if (!s.contains("prefixItems")) {
    more = json_.Value();
  }
  ContainsRules rules = {.min = min, .max = max};
  ASSIGN_OR_RETURN(rules.min_matching, SchemaCount(s, "minContains", 1, path));
  ASSIGN_OR_RETURN(rules.max_matching, SchemaCount(s, "maxContains", kUnbounded, path));
  const bool says_something = rules.min_matching > 0 || rules.max_matching != kUnbounded;
  if (s.contains("contains") && says_something) return Containing(s, more, rules, path, nesting);
  return Elements(items, more, min, max, path);
}

absl::StatusOr<ExprId> SchemaCompiler::Containing(const OrderedJson& s, ExprId item,
                                                  const ContainsRules& rules,
                                                  const std::string& path, int nesting) {
  if (s.contains("prefixItems"))
    return Error(path, "contains beside prefixItems is not supported; check it afterwards");
  const bool is_bounded = rules.max_matching != kUnbounded;
  if (is_bounded && rules.max_matching < rules.min_matching)
    return Contradiction(path, "maxContains is less than minContains");
  const OrderedJson all = s.contains("items") ? s["items"] : OrderedJson(true);
  if (is_bounded) {
    ASSIGN_OR_RETURN(item, NotContained(s["contains"], all, path, nesting));
  }
  ExprId matching = pool().Never();
  const absl::StatusOr<OrderedJson> both = Merge(all, s["contains"], path + "/contains");
  if (both.ok()) {
    ASSIGN_OR_RETURN(matching, Schema(*both, path + "/contains", nesting + 1));
  } else if (rules.min_matching > 0 || !IsContradiction(both.status())) {
    return both.status();
  }
  ASSIGN_OR_RETURN(const ExprId list,
                   ContainingElements(pool(), json_.Comma(), AsRule(item, path + "/items"),
                                      AsRule(matching, path + "/contains"), rules, path));
  return json_.Bracketed("[", list, "]", false);
}

// Items of `all` that are none of `contained`: what maxContains does not count.
absl::StatusOr<ExprId> SchemaCompiler::NotContained(OrderedJson contained, const OrderedJson& all,
                                                    const std::string& path, int nesting) {
  // Nothing of another type is left, and types are the hardest to negate.
  if (contained.is_object() && contained.contains("type") && HasOnlyTypes(all, contained["type"]))
    contained.erase("type");
  const std::string at = path + "/contains";
  OrderedJson others = OrderedJson::object();
  others["allOf"] = OrderedJson::array({all, OrderedJson{{"not", std::move(contained)}}});
  const absl::StatusOr<ExprId> other = Schema(others, at, nesting + 1);
  if (other.ok()) return *other;
  if (IsContradiction(other.status())) return pool().Never();
  return Error(at,
               absl::StrCat("maxContains counts what matches, and what does not match cannot be "
                            "told here (",
                            other.status().message(),
                            "); leave maxContains out and check it "
                            "afterwards"));
}

// uniqueItems, where the items are a few values.
absl::StatusOr<ExprId> SchemaCompiler::Distinct(const OrderedJson& s, int64_t min, int64_t max,
                                                const std::string& path) {
  OrderedJson items = s.contains("items") ? s["items"] : OrderedJson(true);
  if (items.is_object() && items.contains("$ref") && items["$ref"].is_string()) {
    ASSIGN_OR_RETURN(const OrderedJson* target, Find(items["$ref"].get<std::string>(), path));
    items = *target;
  }
  const bool is_plain = items.is_object() && !s.contains("prefixItems") && !s.contains("contains");
  if (is_plain && items.contains("type") && items["type"] == "boolean" && !items.contains("enum"))
    items["enum"] = {true, false};
  if (!is_plain || !items.contains("enum") || !items["enum"].is_array() ||
      items["enum"].size() > kDistinctValuesMax)
    return Error(path,
                 absl::StrCat("uniqueItems is supported for items of at most ", kDistinctValuesMax,
                              " values (enum, boolean); no automaton remembers others"));
  std::vector<ExprId> values;
  OrderedJson seen = OrderedJson::array();
  for (const OrderedJson& value : items["enum"]) {
    if (std::find(seen.begin(), seen.end(), value) != seen.end()) continue;
    seen.push_back(value);
    OrderedJson one = items;
    one["enum"] = OrderedJson::array({value});
    const absl::StatusOr<ExprId> text = Schema(one, path + "/items", 0);
    if (text.ok()) values.push_back(*text);  // else what stands beside the enum excludes it
  }
  ASSIGN_OR_RETURN(const ExprId list,
                   DistinctElements(pool(), json_.Comma(), values, min, max, path));
  return json_.Bracketed("[", list, "]", false);
}

// The elements of an array: `items` in order, then `more` of one kind, `min` to `max` in all.
absl::StatusOr<ExprId> SchemaCompiler::Elements(const std::vector<ExprId>& items, ExprId more,
                                                int64_t min, int64_t max, const std::string& path) {
  const int64_t num_items = static_cast<int64_t>(items.size());
  const bool has_more = pool().expr(more).kind != Expr::Kind::kNever;
  if (max == 0) return pool().Bytes("[]");
  if (!has_more && min > num_items)
    return Error(path, "minItems is more than prefixItems, and items says nothing of the rest");
  std::vector<ExprId> list = items;
  if (max != kUnbounded && max < num_items) list.resize(max);
  // Missing elements are the last ones: each is optional only if all after it are missing, too.
  ExprId tail = pool().Bytes("");
  if (has_more && (max == kUnbounded || max > num_items)) {
    const int64_t more_min = std::max<int64_t>(0, min - num_items);
    const int64_t more_max = max == kUnbounded ? kUnbounded : max - num_items;
    if (num_items > 0) {
      tail = pool().Repeat(pool().Concat({json_.Comma(), more}), more_min, more_max);
    } else {
      const ExprId rest =
          pool().Repeat(pool().Concat({json_.Comma(), more}), std::max<int64_t>(0, more_min - 1),
                        more_max == kUnbounded ? kUnbounded : more_max - 1);
      pool().SetPlace(rest, path + (more_max == kUnbounded ? "/minItems" : "/maxItems"));
      return json_.Bracketed("[", pool().Concat({more, rest}), "]", min == 0);
    }
    pool().SetPlace(tail, path + (more_max == kUnbounded ? "/minItems" : "/maxItems"));
  }
  if (list.empty()) return pool().Bytes("[]");
  for (int64_t i = static_cast<int64_t>(list.size()) - 1; i > 0; --i) {
    tail = pool().Concat({json_.Comma(), list[i], tail});
    if (min <= i) tail = pool().Optional(tail);
  }
  return json_.Bracketed("[", pool().Concat({list[0], tail}), "]", min == 0);
}

}  // namespace oneai::serving
