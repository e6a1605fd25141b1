// File: serving/grammar/json_members.h
//
// Members of an object and elements of an array where they are counted or depend on each other:
// one graph over what has come so far.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "serving/grammar/expression.h"

namespace oneai::serving {

struct JsonMember {
  std::string name;
  ExprId text;  // name, colon and value
  bool is_optional = false;
};

struct MemberRules {
  int64_t min = 0;                 // members
  int64_t max = Expr::kUnbounded;  // members
  struct Dependency {
    std::string trigger;
    std::vector<std::string> needed;  // where the trigger is; each one of the members
  };
  std::vector<Dependency> dependencies;
};

// The members in their order with `comma` between them, then any number of `additional` (whose
// names may repeat, so that only the first counts towards `min`). InvalidArgument at `path`: too
// many states.
absl::StatusOr<ExprId> CountedMembers(ExpressionPool& pool, ExprId comma,
                                      const std::vector<JsonMember>& members,
                                      std::optional<ExprId> additional, const MemberRules& rules,
                                      const std::string& path);

struct ContainsRules {
  int64_t min_matching = 1, max_matching = Expr::kUnbounded;
  int64_t min = 0, max = Expr::kUnbounded;  // elements
};

// Elements that are each an `item` or a `matching`, the latter as often as `rules` say. With a
// max_matching no `item` may be a `matching`; without, it may.
absl::StatusOr<ExprId> ContainingElements(ExpressionPool& pool, ExprId comma, ExprId item,
                                          ExprId matching, const ContainsRules& rules,
                                          const std::string& path);

// `min` to `max` of `values`, none twice: in any order up to kPermutedValuesMax of them, else in
// theirs.
inline constexpr size_t kPermutedValuesMax = 8;
absl::StatusOr<ExprId> DistinctElements(ExpressionPool& pool, ExprId comma,
                                        const std::vector<ExprId>& values, int64_t min, int64_t max,
                                        const std::string& path);

}  // namespace oneai::serving
