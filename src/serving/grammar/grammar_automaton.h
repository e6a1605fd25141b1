// File: serving/grammar/grammar_automaton.h
//
// A grammar as one table: deterministic automata over bytes, one per rule, that call each other.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace oneai::serving {

// Reads a rule and goes on after it: `callee` is the rule's first state, and the text goes on in
// `resume` of the caller when the rule has ended.
struct GrammarCall {
  int32_t callee;
  int32_t resume;
};

// Immutable once built (automaton_builder.h), thread-safe. States of all rules share one numbering.
// From every state the end of its rule can be reached, and no rule calls itself before it has read
// a byte.
class GrammarAutomaton {
 public:
  static constexpr int32_t kNoState = -1;

  int32_t start() const { return start_; }
  int64_t num_states() const { return static_cast<int64_t>(flags_.size()); }

  // The state after `byte`, or kNoState.
  int32_t Next(int32_t state, uint8_t byte) const {
    return next_[static_cast<int64_t>(state) * num_classes_ + byte_class_[byte]];
  }
  // Bytes of one class lead to the same states everywhere.
  uint8_t ByteClass(uint8_t byte) const { return byte_class_[byte]; }
  absl::Span<const GrammarCall> Calls(int32_t state) const {
    return absl::MakeConstSpan(calls_).subspan(call_begin_[state],
                                               call_begin_[state + 1] - call_begin_[state]);
  }
  // The rule may end here.
  bool IsFinal(int32_t state) const { return (flags_[state] & kFinal) != 0; }
  // Some byte may follow in the rule itself.
  bool HasBytes(int32_t state) const { return (flags_[state] & kBytes) != 0; }
  // Bytes may follow and nothing else: neither an end nor a call.
  bool IsPlain(int32_t state) const {
    return (flags_[state] & (kFinal | kCalls | kBytes)) == kBytes;
  }
  // Nothing may follow in the rule: a call that resumes here is a tail call.
  bool IsExit(int32_t state) const {
    return (flags_[state] & (kFinal | kCalls | kBytes)) == kFinal;
  }
  // The only byte that can follow in the rule itself, or -1: none, or several.
  int32_t OnlyByte(int32_t state) const { return only_byte_[state]; }
  // Calls that must be open at once, at least, for the rule to end from here.
  int32_t DepthNeeded(int32_t state) const { return depth_needed_[state]; }
  // States of one class allow the same tokens: no text of a token's length tells them apart.
  int32_t MaskClass(int32_t state) const { return mask_class_[state]; }
  int64_t num_mask_classes() const { return num_mask_classes_; }
  int32_t call_depth_max() const { return call_depth_max_; }
  int64_t num_bytes() const;

 private:
  friend class AutomatonBuilder;
  static constexpr uint8_t kFinal = 1, kCalls = 2, kBytes = 4;

  int32_t start_ = 0;
  int64_t num_classes_ = 0;
  std::array<uint8_t, 256> byte_class_ = {};  // bytes that no state tells apart
  std::vector<int32_t> next_;                 // [num_states, num_classes]
  std::vector<uint8_t> flags_;
  std::vector<GrammarCall> calls_;
  std::vector<int32_t> call_begin_;  // [num_states + 1]
  std::vector<int16_t> only_byte_;
  std::vector<int32_t> depth_needed_;
  std::vector<int32_t> mask_class_;
  int64_t num_mask_classes_ = 0;
  int32_t call_depth_max_ = 0;
};

}  // namespace oneai::serving
