// File: serving/grammar/rule_inlining.h
//
// Which rules become part of their callers, and how large everything then is. A call costs a check
// at run time for every token that goes on behind the rule's end; a copy costs states.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serving/grammar/expression.h"

namespace oneai::serving {

// Saturates here.
inline constexpr int64_t kSizeMax = int64_t{1} << 50;

struct RulePlan {
  std::vector<bool> reachable;       // by rule
  std::vector<bool> is_inlined;      // by rule
  std::vector<bool> is_nullable;     // by rule: matches the empty text
  std::vector<int64_t> expr_states;  // by expression: states of its automaton, about
  int64_t num_states = 0;            // of all rules that are not inlined
};

// Plans the rules that `grammar.start` reaches; all of them are defined.
RulePlan PlanRules(const Grammar& grammar);

// The place of the part of the grammar that is most of its size.
std::string HeaviestPlace(const Grammar& grammar, const RulePlan& plan);

}  // namespace oneai::serving
