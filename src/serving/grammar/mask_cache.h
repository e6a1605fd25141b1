// File: serving/grammar/mask_cache.h
//
// The tokens that a state of a grammar allows, whatever waits on its stack, made once per mask
// class and kept. Source: arXiv:2411.15100, section 3.2 (context-independent tokens).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "serving/grammar/grammar_automaton.h"
#include "serving/grammar/stack_simulation.h"
#include "serving/grammar/token_vocabulary.h"

namespace oneai::serving {

// The tokens that can be read from one state. Immutable once made.
struct StateMask {
  // Tokens that are read within the rule, or end exactly where it ends: always allowed. A bit set
  // when they are many, else a list.
  std::vector<uint64_t> allowed_bits;
  std::vector<int32_t> allowed_ids;

  // Tokens that go on after the rule has ended, by what is left of them then: `suffix(i)` is for
  // the caller to read. Sorted by suffix; a token occurs once for every place where the rule can
  // end within it.
  struct Suffix {
    int32_t text_begin, text_end;    // in suffix_text
    int32_t token_begin, token_end;  // in suffix_tokens
    int32_t num_shared;              // leading bytes that the suffix before has, too
  };
  std::vector<Suffix> suffixes;
  std::string suffix_text;
  std::vector<int32_t> suffix_tokens;

  int32_t depth_max = 0;  // calls that were open at once while a token was read
  int64_t items_max = 0;  // and items, and work of one byte (StackSimulation)
  int64_t step_work_max = 0;
  // Some way of reading was dropped, or there are too many suffixes: not to be used.
  bool is_partial = false;

  absl::string_view suffix(const Suffix& s) const {
    return absl::string_view(suffix_text).substr(s.text_begin, s.text_end - s.text_begin);
  }
  int64_t num_bytes() const;
};

// Thread-safe.
class MaskCache {
 public:
  // Borrows both, which must outlive it. Keeps masks up to `mask_bytes_max` in all.
  MaskCache(const GrammarAutomaton& automaton, const TokenVocabulary& vocabulary,
            int64_t mask_bytes_max);
  ~MaskCache();
  MaskCache(const MaskCache&) = delete;
  MaskCache& operator=(const MaskCache&) = delete;

  // The mask of `state`. Computed by the first thread that asks (up to some milliseconds, for a
  // state that allows most of the vocabulary). When memory is used up, the mask is put in `own`,
  // which then owns what is returned.
  const StateMask* Get(int32_t state, std::unique_ptr<StateMask>& own);

  // Makes the masks of states reachable from the start, nearest first, until `steps_max` nodes of
  // the trie were visited.
  void Warm(int64_t steps_max);

  int64_t num_bytes() const { return num_bytes_.load(std::memory_order_relaxed); }

 private:
  std::unique_ptr<StateMask> Compute(int32_t state, int64_t& num_steps) const;

  const GrammarAutomaton& automaton_;
  const TokenVocabulary& vocabulary_;
  const int64_t mask_bytes_max_;
  std::vector<std::atomic<const StateMask*>> masks_;  // by mask class; owned
  std::atomic<int64_t> num_bytes_{0};
};

}  // namespace oneai::serving
