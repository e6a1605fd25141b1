// File: serving/grammar/automaton_builder.h
//
//   expressions -> NFA per rule -> subset construction -> without dead ends -> mask classes
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"
#include "serving/grammar/grammar_automaton.h"

namespace oneai::serving {

// Builds the automaton of `grammar`, in which every called rule is defined. States that no text of
// up to `token_bytes_max` bytes tells apart share a mask class. InvalidArgument: the grammar
// matches nothing, a rule calls itself before it reads anything (left recursion), or a limit on
// states or steps; the message names the place.
absl::StatusOr<std::unique_ptr<const GrammarAutomaton>> BuildAutomaton(const Grammar& grammar,
                                                                       const GrammarLimits& limits,
                                                                       int64_t token_bytes_max);

}  // namespace oneai::serving
