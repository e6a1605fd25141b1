// File: serving/grammar/json_schema_compiler.h
//
// A schema as expressions: combinations in json_schema.cc, one file each for objects and arrays.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/json/json_reader.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"
#include "serving/grammar/json_members.h"
#include "serving/grammar/json_object_keys.h"
#include "serving/grammar/json_scalars.h"
#include "serving/grammar/json_text.h"

namespace oneai::serving {

// Compiles one schema, once. Borrows its arguments, which must outlive it. Every method that takes
// a schema `s` takes its JSON pointer `path`, for errors, and how deep it lies.
class SchemaCompiler {
 public:
  using OrderedJson = models::OrderedJson;
  SchemaCompiler(const OrderedJson& root, JsonWhitespace whitespace, const GrammarLimits& limits)
      : root_(root),
        limits_(limits),
        json_(grammar_.pool, whitespace),
        scalars_(grammar_.pool, json_, limits) {}

  absl::StatusOr<Grammar> Compile();

 private:
  struct PendingRef {
    RuleId rule;
    const OrderedJson* schema;
    std::string pointer;
  };

  ExpressionPool& pool() { return grammar_.pool; }
  static absl::Status Error(const std::string& path, absl::string_view message) {
    return SchemaError(path, message);
  }

  absl::StatusOr<ExprId> Schema(const OrderedJson& s, const std::string& path, int nesting);

  absl::Status CheckKeywords(const OrderedJson& s, const std::string& path);

  // Keywords that combine schemas come first: what they leave is about one type at a time.
  absl::StatusOr<ExprId> Applied(const OrderedJson& s, const std::string& path, int nesting);

  absl::StatusOr<OrderedJson> Merge(const OrderedJson& a, const OrderedJson& b,
                                    const std::string& path);

  absl::StatusOr<ExprId> AllOf(const OrderedJson& s, const std::string& path, int nesting);

  // Branches that contradict themselves or `rest` are left out; an error when none remains.
  absl::StatusOr<ExprId> AnyOf(const OrderedJson& branches, const OrderedJson& rest,
                               const std::string& path, int nesting);

  // As AnyOf, less what two branches allow.
  absl::StatusOr<ExprId> OneOf(const OrderedJson& branches, const OrderedJson& rest,
                               const std::string& path, int nesting);

  // What each branch says together with `rest`; null where they contradict each other.
  absl::StatusOr<std::vector<OrderedJson>> Branches(const OrderedJson& branches,
                                                    const OrderedJson& rest,
                                                    const std::string& path);

  // Sets of values that other branches of a oneOf allow, too, taken out of one of them.
  absl::StatusOr<OrderedJson> Without(const std::vector<OrderedJson>& parts, size_t branch,
                                      const std::string& path);

  // The schema at "#/..." of this document.
  absl::StatusOr<const OrderedJson*> Find(absl::string_view ref, const std::string& path);

  absl::StatusOr<ExprId> Reference(const std::string& ref, const std::string& path);

  // enum and const, less those of another type.
  absl::StatusOr<ExprId> Values(const OrderedJson& s, const std::string& path);

  // Whether an enum or const has objects or arrays, of which not all keywords can be told.
  static bool HasStructured(const OrderedJson& s);

  static bool IsOfType(const OrderedJson& value, const std::string& type);

  absl::StatusOr<std::vector<std::string>> Types(const OrderedJson& type, const std::string& path);

  // Without "type", the keywords tell: properties are those of an object.
  absl::StatusOr<ExprId> Typed(const OrderedJson& s, const std::string& path, int nesting);

  absl::StatusOr<ExprId> OfType(const std::string& type, const OrderedJson& s,
                                const std::string& path, int nesting);

  // true, false or null, less what "not" excludes.
  absl::StatusOr<ExprId> Constants(bool is_null, const OrderedJson& s, const std::string& path);

  // "not" with a list of values, for objects and arrays.
  absl::Status RefuseExcluded(const OrderedJson& s, const char* type, const std::string& path);

  // A rule of its own for what is repeated or large, so that it is not written out many times.
  ExprId AsRule(ExprId body, const std::string& path);

  absl::StatusOr<ExprId> Array(const OrderedJson& s, const std::string& path, int nesting);

  absl::StatusOr<ExprId> Containing(const OrderedJson& s, ExprId item, const ContainsRules& rules,
                                    const std::string& path, int nesting);

  absl::StatusOr<ExprId> NotContained(OrderedJson contained, const OrderedJson& all,
                                      const std::string& path, int nesting);

  // uniqueItems, where the items are a few values.
  absl::StatusOr<ExprId> Distinct(const OrderedJson& s, int64_t min, int64_t max,
                                  const std::string& path);

  // The elements of an array: `items` in order, then `more` of one kind, `min` to `max` in all.
  absl::StatusOr<ExprId> Elements(const std::vector<ExprId>& items, ExprId more, int64_t min,
                                  int64_t max, const std::string& path);

  absl::StatusOr<ExprId> Object(const OrderedJson& s, const std::string& path, int nesting);

  // Members whose names are not listed, by the patterns that the names match.
  absl::StatusOr<std::vector<ExprId>> OtherMembers(const std::vector<std::string>& names,
                                                   const std::vector<NamePattern>& patterns,
                                                   std::optional<ExprId> allowed,
                                                   const OrderedJson& additional,
                                                   const std::string& path, int nesting);

  absl::StatusOr<ExprId> Members(std::vector<JsonMember> members, std::vector<ExprId> others,
                                 const MemberRules& rules, const std::string& path);

  absl::StatusOr<MemberRules> RulesOf(const OrderedJson& s, const std::string& path);

  // What names propertyNames allows.
  absl::StatusOr<ExprId> NamesOf(const OrderedJson& s, const std::string& path);

  const OrderedJson& root_;
  const GrammarLimits& limits_;
  Grammar grammar_;
  JsonText json_;
  JsonScalars scalars_;
  std::map<const OrderedJson*, RuleId> refs_;
  std::vector<PendingRef> pending_refs_;
  int64_t num_merged_ = 0;
  int64_t disjoint_steps_left_ = 1'000'000;
};

}  // namespace oneai::serving
