// File: serving/grammar/regular_sets.h
//
// "This and that", "this but not that" over expressions without calls: the product of two
// automata, as a graph.
#pragma once

#include "absl/status/statusor.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

enum class SetOperation { kBoth, kFirstOnly };

// What both `a` and `b` match, or `a` alone; texts are compared byte by byte. kNever (and nothing
// else that matches no text) when there is none. `a` and `b` call no rules. InvalidArgument, at
// `place`: either has too many states, or the product more than kProductStatesMax.
absl::StatusOr<ExprId> CombineSets(ExpressionPool& pool, ExprId a, ExprId b, SetOperation operation,
                                   const GrammarLimits& limits, absl::string_view place);
inline constexpr int64_t kProductStatesMax = 20'000;

}  // namespace oneai::serving
