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
#include "serving/grammar/json_formats.h"
#include "serving/grammar/json_number_range.h"
#include "serving/grammar/json_schema_merge.h"
#include "serving/grammar/json_text.h"
#include "serving/grammar/regex_parser.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int64_t kUnbounded = Expr::kUnbounded;
constexpr int64_t kCountMax = 1'000'000'000;
constexpr int64_t kMergedValuesMax = 500'000;
// Expressions are read recursively, and these nest with the number.
constexpr size_t kPrefixItemsMax = 500;
constexpr size_t kExcludedNameBytesMax = 256;

constexpr absl::string_view kObjectKeywords[] = {"properties", "required", "additionalProperties"};
constexpr absl::string_view kArrayKeywords[] = {"items", "prefixItems", "minItems", "maxItems"};
constexpr absl::string_view kStringKeywords[] = {"minLength", "maxLength", "pattern", "format"};
constexpr absl::string_view kNumberKeywords[] = {"minimum", "maximum", "exclusiveMinimum",
                                                 "exclusiveMaximum"};
constexpr absl::string_view kOtherKeywords[] = {"type",  "enum",  "const", "anyOf",
                                                "oneOf", "allOf", "$ref"};
constexpr absl::string_view kTypes[] = {"object",  "array",   "string", "number",
                                        "integer", "boolean", "null"};

template <size_t N>
bool IsIn(const absl::string_view (&list)[N], absl::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

bool IsSupported(absl::string_view keyword) {
  return IsIn(kObjectKeywords, keyword) || IsIn(kArrayKeywords, keyword) ||
         IsIn(kStringKeywords, keyword) || IsIn(kNumberKeywords, keyword) ||
         IsIn(kOtherKeywords, keyword) || IsAnnotation(keyword);
}

// Keywords that change nothing with this value.
bool IsWithoutEffect(absl::string_view keyword, const OrderedJson& value) {
  if (keyword == "uniqueItems" || keyword == "nullable") return value == false;
  if (keyword == "minProperties" || keyword == "minContains") return value == 0;
  return false;
}

std::string EscapePointer(absl::string_view key) {
  return absl::StrReplaceAll(key, {{"~", "~0"}, {"/", "~1"}});
}

class SchemaCompiler {
 public:
  SchemaCompiler(const OrderedJson& root, JsonWhitespace whitespace, const GrammarLimits& limits)
      : root_(root), limits_(limits), json_(grammar_.pool, whitespace) {}

  absl::StatusOr<Grammar> Compile() {
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

 private:
  struct PendingRef {
    RuleId rule;
    const OrderedJson* schema;
    std::string pointer;
  };

  ExpressionPool& pool() { return grammar_.pool; }
  static absl::Status Error(const std::string& path, absl::string_view message) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", message));
  }

  absl::StatusOr<ExprId> Schema(const OrderedJson& s, const std::string& path, int nesting) {
    if (nesting > limits_.source_nesting_max)
      return Error(
          path, absl::StrCat("schemas are nested more than ", limits_.source_nesting_max, " deep"));
    if (pool().num_exprs() > limits_.expressions_max)
      return Error(path, absl::StrCat("the schema has more than ", limits_.expressions_max,
                                      " parts; make it smaller"));
    if (s.is_boolean()) return s.get<bool>() ? json_.Value() : pool().Never();
    if (!s.is_object()) return Error(path, "a schema must be an object or a boolean");
    RETURN_IF_ERROR(CheckKeywords(s, path));
    ASSIGN_OR_RETURN(const ExprId expr, Applied(s, path, nesting));
    if (pool().expr(expr).place < 0) pool().SetPlace(expr, path);
    return expr;
  }

  absl::Status CheckKeywords(const OrderedJson& s, const std::string& path) {
    for (const auto& [key, value] : s.items()) {
      if (!IsSupported(key) && !IsWithoutEffect(key, value))
        return Error(path, absl::StrCat("the keyword '", key,
                                        "' is not supported; remove it and check it afterwards"));
    }
    return absl::OkStatus();
  }

  // Keywords that combine schemas come first: what they leave is about one type at a time.
  absl::StatusOr<ExprId> Applied(const OrderedJson& s, const std::string& path, int nesting) {
    OrderedJson rest = OrderedJson::object();
    for (const auto& [key, value] : s.items()) {
      if (!IsAnnotation(key) && key != "allOf" && key != "$ref" && key != "anyOf" && key != "oneOf")
        rest[key] = value;
    }
    const bool has_more = !rest.empty();
    if (s.contains("allOf")) return AllOf(s, path, nesting);
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
    if (s.contains("anyOf") && s.contains("oneOf"))
      return Error(path, "anyOf and oneOf together are not supported");
    if (s.contains("anyOf")) return AnyOf(s["anyOf"], rest, path + "/anyOf", nesting);
    if (s.contains("oneOf")) return AnyOf(s["oneOf"], rest, path + "/oneOf", nesting);
    if (s.contains("enum") || s.contains("const")) return Values(rest, path);
    return Typed(rest, path, nesting);
  }

  absl::StatusOr<OrderedJson> Merge(const OrderedJson& a, const OrderedJson& b,
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

  absl::StatusOr<ExprId> AllOf(const OrderedJson& s, const std::string& path, int nesting) {
    if (!s["allOf"].is_array() || s["allOf"].empty())
      return Error(path, "allOf must be a list of schemas");
    OrderedJson merged = s;
    merged.erase("allOf");
    for (const OrderedJson& part : s["allOf"]) {
      ASSIGN_OR_RETURN(merged, Merge(merged, part, path + "/allOf"));
    }
    return Schema(merged, path, nesting + 1);
  }

  absl::StatusOr<ExprId> AnyOf(const OrderedJson& branches, const OrderedJson& rest,
                               const std::string& path, int nesting) {
    if (!branches.is_array() || branches.empty()) return Error(path, "expected a list of schemas");
    std::vector<ExprId> ways;
    for (size_t i = 0; i < branches.size(); ++i) {
      const std::string at = absl::StrCat(path, "/", i);
      if (rest.empty()) {
        ASSIGN_OR_RETURN(const ExprId way, Schema(branches[i], at, nesting + 1));
        ways.push_back(way);
      } else {
        ASSIGN_OR_RETURN(const OrderedJson merged, Merge(rest, branches[i], at));
        ASSIGN_OR_RETURN(const ExprId way, Schema(merged, at, nesting + 1));
        ways.push_back(way);
      }
    }
    return pool().Alternate(std::move(ways));
  }

  // The schema at "#/..." of this document.
  absl::StatusOr<const OrderedJson*> Find(absl::string_view ref, const std::string& path) {
    for (int hops = 0; hops < 64; ++hops) {
      if (ref != "#" && !absl::StartsWith(ref, "#/"))
        return Error(path, absl::StrCat("$ref '", ref,
                                        "': only references within the schema (#/...) are "
                                        "supported"));
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

  absl::StatusOr<ExprId> Reference(const std::string& ref, const std::string& path) {
    ASSIGN_OR_RETURN(const OrderedJson* schema, Find(ref, path));
    const auto [it, added] = refs_.try_emplace(schema, -1);
    if (added) {
      it->second = pool().AddRule(ref);
      pending_refs_.push_back({it->second, schema, ref});
    }
    return pool().Call(it->second);
  }

  // enum and const, less those of another type.
  absl::StatusOr<ExprId> Values(const OrderedJson& s, const std::string& path) {
    for (const auto& [key, value] : s.items()) {
      if (key != "enum" && key != "const" && key != "type" && !IsWithoutEffect(key, value))
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
      const bool allowed = !s.contains("enum") ||
                           std::find(values.begin(), values.end(), s["const"]) != values.end();
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
      if (fits) ways.push_back(json_.Literal(value));
    }
    if (ways.empty()) return Error(path, "enum or const allows no value of the type");
    return pool().Alternate(std::move(ways));
  }

  static bool IsOfType(const OrderedJson& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "integer") return value.is_number_integer();
    return value.is_number();
  }

  absl::StatusOr<std::vector<std::string>> Types(const OrderedJson& type, const std::string& path) {
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
  absl::StatusOr<ExprId> Typed(const OrderedJson& s, const std::string& path, int nesting) {
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
      if (types.empty()) return json_.Value();
    }
    std::vector<ExprId> ways;
    for (const std::string& type : types) {
      ASSIGN_OR_RETURN(const ExprId way, OfType(type, s, path, nesting));
      ways.push_back(way);
    }
    return pool().Alternate(std::move(ways));
  }

  absl::StatusOr<ExprId> OfType(const std::string& type, const OrderedJson& s,
                                const std::string& path, int nesting) {
    if (type == "object") return Object(s, path, nesting);
    if (type == "array") return Array(s, path, nesting);
    if (type == "string") return String(s, path);
    if (type == "boolean") return json_.Boolean();
    if (type == "null") return json_.Null();
    return Number(type == "integer", s, path);
  }

  // A count such as minItems; `fallback` when it is not there.
  absl::StatusOr<int64_t> Count(const OrderedJson& s, const char* key, int64_t fallback,
                                const std::string& path) {
    if (!s.contains(key)) return fallback;
    const OrderedJson& value = s[key];
    // 3.0 is an integer to JSON Schema.
    const bool is_whole = value.is_number() && value.get<double>() >= 0 &&
                          value.get<double>() <= static_cast<double>(kCountMax) &&
                          value.get<double>() == static_cast<double>(value.get<int64_t>());
    if (!is_whole)
      return Error(path, absl::StrCat(key, " must be a whole number from 0 to ", kCountMax));
    return value.get<int64_t>();
  }

  absl::StatusOr<ExprId> String(const OrderedJson& s, const std::string& path) {
    const bool has_length = s.contains("minLength") || s.contains("maxLength");
    if (has_length + s.contains("pattern") + s.contains("format") > 1)
      return Error(path,
                   "of a length (minLength, maxLength), a pattern and a format only one is "
                   "supported at a time; put the length into the pattern");
    if (has_length) {
      ASSIGN_OR_RETURN(const int64_t min, Count(s, "minLength", 0, path));
      ASSIGN_OR_RETURN(const int64_t max, Count(s, "maxLength", kUnbounded, path));
      if (max != kUnbounded && max < min) return Error(path, "maxLength is less than minLength");
      return json_.StringOfLength(min, max,
                                  path + (max == kUnbounded ? "/minLength" : "/maxLength"));
    }
    auto write = [&](const CharSet& chars) { return json_.CanonicalChar(chars); };
    if (s.contains("pattern")) {
      if (!s["pattern"].is_string()) return Error(path, "pattern must be a string");
      const RegexOptions options = {.dialect = RegexOptions::Dialect::kEcma,
                                    .nesting_max = limits_.source_nesting_max,
                                    .place = path + "/pattern: "};
      ASSIGN_OR_RETURN(const ExprId content,
                       ParseRegex(s["pattern"].get<std::string>(), options, pool(), write));
      return json_.QuotedRule(path + "/pattern", content);
    }
    if (s.contains("format")) {
      if (!s["format"].is_string()) return Error(path, "format must be a string");
      const absl::string_view regex = FormatRegex(s["format"].get<std::string>());
      if (regex.empty())
        return Error(path, absl::StrCat("the format ", s["format"].dump(),
                                        " is not supported; supported are ", FormatNames()));
      const RegexOptions options = {.place = path + "/format: "};
      ASSIGN_OR_RETURN(const ExprId content, ParseRegex(regex, options, pool(), write));
      return json_.QuotedRule(path + "/format", content);
    }
    return json_.String();
  }

  absl::StatusOr<ExprId> Number(bool is_integer, const OrderedJson& s, const std::string& path) {
    NumberRange range;
    RETURN_IF_ERROR(AddBound(s, "minimum", "exclusiveMinimum", path, range.low));
    RETURN_IF_ERROR(AddBound(s, "maximum", "exclusiveMaximum", path, range.high));
    if (!range.low.has_value() && !range.high.has_value())
      return is_integer ? json_.Integer() : json_.Number();
    return is_integer ? IntegerInRange(range, pool()) : DecimalInRange(range, pool());
  }

  // `inclusive` and `exclusive` are numbers; in draft 4 the second is a boolean about the first.
  absl::Status AddBound(const OrderedJson& s, const char* inclusive, const char* exclusive,
                        const std::string& path, std::optional<NumberBound>& bound) {
    const bool is_flag = s.contains(exclusive) && s[exclusive].is_boolean();
    for (const char* key : {inclusive, exclusive}) {
      if (!s.contains(key) || (key == exclusive && is_flag)) continue;
      if (!s[key].is_number()) return Error(path, absl::StrCat(key, " must be a number"));
    }
    if (s.contains(inclusive)) bound = BoundOf(s[inclusive], is_flag && s[exclusive].get<bool>());
    if (!s.contains(exclusive) || is_flag) return absl::OkStatus();
    const bool tighter = !bound.has_value() ||
                         (inclusive == absl::string_view("minimum") ? s[exclusive] >= s[inclusive]
                                                                    : s[exclusive] <= s[inclusive]);
    if (tighter) bound = BoundOf(s[exclusive], true);
    return absl::OkStatus();
  }

  // A rule of its own for what is repeated or large, so that it is not written out many times.
  ExprId AsRule(ExprId body, const std::string& path) {
    const RuleId rule = pool().AddRule(path);
    pool().rule(rule).body = body;
    pool().rule(rule).keep = true;
    return pool().Call(rule);
  }

  absl::StatusOr<ExprId> Array(const OrderedJson& s, const std::string& path, int nesting) {
    ASSIGN_OR_RETURN(const int64_t min, Count(s, "minItems", 0, path));
    ASSIGN_OR_RETURN(const int64_t max, Count(s, "maxItems", kUnbounded, path));
    if (max != kUnbounded && max < min) return Error(path, "maxItems is less than minItems");
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
    if (s.contains("items") && s["items"].is_array())
      return Error(path, "items as a list is not supported; write prefixItems");
    ExprId more = pool().Never();
    // Nothing after prefixItems unless the schema says what.
    if (s.contains("items")) {
      ASSIGN_OR_RETURN(more, Schema(s["items"], path + "/items", nesting + 1));
      if (min > 1 || (max != kUnbounded && max > 1)) more = AsRule(more, path + "/items");
    } else if (!s.contains("prefixItems")) {
      more = json_.Value();
    }
    return Elements(items, more, min, max, path);
  }

  // The elements of an array: `items` in order, then `more` of one kind, `min` to `max` in all.
  absl::StatusOr<ExprId> Elements(const std::vector<ExprId>& items, ExprId more, int64_t min,
                                  int64_t max, const std::string& path) {
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

  absl::StatusOr<ExprId> Object(const OrderedJson& s, const std::string& path, int nesting) {
    std::vector<std::string> required;
    if (s.contains("required")) {
      if (!s["required"].is_array()) return Error(path, "required must be a list of names");
      for (const OrderedJson& name : s["required"]) {
        if (!name.is_string()) return Error(path, "required must be a list of names");
        required.push_back(name.get<std::string>());
      }
    }
    static const OrderedJson& no_properties = *new OrderedJson(OrderedJson::object());
    const OrderedJson& properties = s.contains("properties") ? s["properties"] : no_properties;
    if (!properties.is_object()) return Error(path, "properties must be an object");
    // Open when nothing is said of its properties, closed when they are listed: no one who lists
    // them wants a model to make up more.
    const OrderedJson additional = s.contains("additionalProperties") ? s["additionalProperties"]
                                   : s.contains("properties")         ? OrderedJson(false)
                                                                      : OrderedJson(true);
    if (properties.empty() && required.empty() && additional == true) return json_.Object();

    std::vector<ExprId> members;
    std::vector<bool> optional;
    std::vector<std::string> names;
    auto add = [&](const std::string& name, const OrderedJson& schema, const std::string& at,
                   bool is_optional) -> absl::Status {
      ASSIGN_OR_RETURN(const ExprId value, Schema(schema, at, nesting + 1));
      names.push_back(name);
      if (pool().expr(value).kind == Expr::Kind::kNever && is_optional) return absl::OkStatus();
      members.push_back(
          pool().Concat({pool().Bytes(OrderedJson(name).dump()), json_.Colon(), value}));
      optional.push_back(is_optional);
      return absl::OkStatus();
    };
    for (const auto& [name, schema] : properties.items()) {
      const bool is_optional = std::find(required.begin(), required.end(), name) == required.end();
      RETURN_IF_ERROR(
          add(name, schema, absl::StrCat(path, "/properties/", EscapePointer(name)), is_optional));
    }
    for (const std::string& name : required) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      if (additional == false)
        return Error(path, absl::StrCat("'", name, "' is required and not among the properties"));
      RETURN_IF_ERROR(add(name, additional, path + "/additionalProperties", false));
    }
    if (additional != false) {
      ASSIGN_OR_RETURN(ExprId value,
                       Schema(additional, path + "/additionalProperties", nesting + 1));
      value = AsRule(value, path + "/additionalProperties");
      for (const std::string& name : names) {
        if (name.size() > kExcludedNameBytesMax)
          return Error(path, absl::StrCat("beside additionalProperties, names of properties have "
                                          "at most ",
                                          kExcludedNameBytesMax, " bytes"));
      }
      const ExprId member = pool().Concat({json_.StringExcept(names), json_.Colon(), value});
      members.push_back(pool().Concat(
          {member, pool().Repeat(pool().Concat({json_.Comma(), member}), 0, kUnbounded)}));
      optional.push_back(true);
    }
    if (members.empty()) return pool().Bytes("{}");
    const bool may_be_empty = std::find(optional.begin(), optional.end(), false) == optional.end();
    const ExprId list = pool().List(json_.Comma(), members, optional);
    return json_.Bracketed("{", list, "}", may_be_empty);
  }

  const OrderedJson& root_;
  const GrammarLimits& limits_;
  Grammar grammar_;
  JsonText json_;
  std::map<const OrderedJson*, RuleId> refs_;
  std::vector<PendingRef> pending_refs_;
  int64_t num_merged_ = 0;
};

}  // namespace

absl::StatusOr<Grammar> ParseJsonSchema(absl::string_view text, JsonWhitespace whitespace,
                                        const GrammarLimits& limits) {
  const models::JsonLimits json_limits = {.bytes_max = limits.source_bytes_max,
                                          .values_max = limits.expressions_max,
                                          .depth_max = 2 * limits.source_nesting_max + 2};
  ASSIGN_OR_RETURN(const OrderedJson root,
                   models::ParseOrderedJson(text, "JSON schema", json_limits));
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
