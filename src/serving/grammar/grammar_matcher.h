// File: serving/grammar/grammar_matcher.h
//
// Where one sequence stands in its grammar: which tokens may come next, and what follows from the
// one that came.
//   FillMask -> (sample) -> Accept -> ForcedBytes ...
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "serving/grammar/grammar.h"
#include "serving/grammar/stack_simulation.h"

namespace oneai::serving {

struct StateMask;  // mask_cache.h

// How many accepted tokens Rollback can take back.
inline constexpr int64_t kRollbackTokensMax = 256;

// Units of work, some 5 ns each, that one FillMask may spend on what is not in the kept masks:
// bytes, calls and returns that are followed. Where that is not enough, the text has very many
// readings at once, and only tokens of one byte are allowed.
inline constexpr int64_t kMaskWorkMax = 200'000;

// Thread-compatible. Copies are independent and cheap (some hundred bytes), for n > 1.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar);

  // Writes one bit per token id into `allowed` [vocabulary().num_mask_words()]: exactly the tokens
  // that Accept would take. End ids are allowed exactly when the text may end here, and nothing
  // else is once it has ended. Never all zero before the end: the automaton has no dead ends, and
  // every single byte is a token in a byte-level vocabulary. A few microseconds when the state was
  // seen before by any matcher of this grammar; see kMaskWorkMax for what it can be.
  void FillMask(absl::Span<uint64_t> allowed);
  // What the last FillMask spent of kMaskWorkMax, and what tokens of one byte cost then.
  int64_t mask_work() const { return mask_work_; }

  // Moves on by `token`. False, and nothing changed: the grammar does not allow it here.
  bool Accept(int32_t token);

  // Takes back the last `num_tokens` accepted tokens (an end token counts). At most
  // num_accepted(), and at most kRollbackTokensMax.
  void Rollback(int64_t num_tokens);
  int64_t num_accepted() const { return num_accepted_; }

  // Bytes that must come next whatever the model says, up to 4 KiB; empty when there is a choice,
  // or when the text may end here. Never ends inside a UTF-8 character. See ForcedTokens for their
  // use.
  std::string ForcedBytes();

  // The tokens to append without asking the model (jump-ahead): the canonical tokens, by `encode`
  // (text -> ids, no special tokens), of ForcedBytes, without the last one, because what comes
  // after may merge with it. Accept takes every one of them.
  //
  // What stays exact: the text obeys the grammar, and it is a function of the request alone, so it
  // is the same in any batch. What does not: the model, asked at each step, might have spelled the
  // same bytes in other tokens, and conditions what follows on that; so output with jump-ahead may
  // differ, after the forced bytes, from output without. It is therefore a setting of the replica,
  // not a choice made step by step.
  std::vector<int32_t> ForcedTokens(
      absl::FunctionRef<std::vector<int32_t>(absl::string_view)> encode);

  // True when the text may end here.
  bool CanEnd() const;
  // True once an end token was accepted.
  bool finished() const { return finished_; }

  const CompiledGrammar& grammar() const { return *grammar_; }

 private:
  struct Snapshot {      // before a token
    int64_t first_item;  // in history_
    int64_t num_nodes;   // of the arena
    bool finished;
  };
  // Which tokens are looked at where the text stands: a function of that alone.
  enum class Reach : uint8_t { kUnknown, kAllTokens, kSingleBytes };

  // With an empty mask, these only find out.
  Reach Find(absl::Span<uint64_t> allowed);
  bool FillFromCache(absl::Span<uint64_t> allowed);
  bool AllowSuffixes(const StateMask& mask, int32_t stack, StackSimulation& simulation,
                     absl::Span<uint64_t> allowed);
  bool FillByWalk(absl::Span<uint64_t> allowed);
  void FillSingleBytes(absl::Span<uint64_t> allowed);
  void PushSnapshot();

  std::shared_ptr<const CompiledGrammar> grammar_;
  StackArena arena_;
  std::vector<StackItem> now_;      // where the text may stand
  std::vector<StackItem> history_;  // items of the snapshots, in order
  std::vector<Snapshot> snapshots_;
  int64_t num_accepted_ = 0;
  bool finished_ = false;
  Reach reach_ = Reach::kUnknown;
  int64_t mask_work_ = 0;
  std::vector<StackItem> scratch_;
  std::vector<size_t> depth_begin_;
};

}  // namespace oneai::serving
