// File: serving/grammar/mask_classes.h
//
// Which states allow the same tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "serving/grammar/grammar_automaton.h"

namespace oneai::serving {

// The automaton as the refinement reads it.
struct TransitionRows {
  int64_t num_states = 0;
  int64_t num_classes = 0;
  const int32_t* next = nullptr;  // [num_states, num_classes]
  const uint8_t* flags = nullptr;
  const int32_t* call_begin = nullptr;
  const GrammarCall* calls = nullptr;
};

// Numbers the states so that two have one number only if no text of up to `length_max` bytes tells
// them apart: Moore's minimisation, stopped after so many rounds. A long bounded repetition, of
// which every state is another count, so needs masks only for its last token's worth of states.
// Every state gets its own number when the work would be more than `steps_max`.
std::vector<int32_t> MaskClasses(const TransitionRows& rows, int64_t length_max, int64_t steps_max,
                                 int64_t& num_mask_classes);

}  // namespace oneai::serving
