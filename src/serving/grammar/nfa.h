// File: serving/grammar/nfa.h
//
// Expressions written out as nondeterministic automata over bytes (Thompson's construction), with
// calls as a third kind of edge beside bytes and nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

struct NfaEdge {
  enum class Kind : uint8_t { kBytes, kNothing, kCall };
  Kind kind;
  uint8_t first, last;  // kBytes
  RuleId rule;          // kCall
  int32_t to;
  int32_t next;  // the state's next edge, or -1
};

struct Nfa {
  std::vector<int32_t> head;  // by state: its first edge, or -1
  std::vector<NfaEdge> edges;
  // By rule; -1 for rules that are written out where they are called.
  std::vector<int32_t> rule_start, rule_end;
};

// Writes out the rules that `grammar.start` reaches. Small rules that do not recurse become part of
// their callers. InvalidArgument, naming the part that is largest: more than nfa_states_max states.
absl::StatusOr<Nfa> BuildNfa(const Grammar& grammar, const GrammarLimits& limits);

}  // namespace oneai::serving
