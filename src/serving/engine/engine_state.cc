// How the engine uses the slots of recurrent state. The state of a sequence is where its last
// verified token is; guesses leave the states between them in other slots, so that the sequence can
// go back to the last one that was right. What it was at the end of a block is kept under that
// block's name: with the block and those before it, another sequence can go on from there.
//
// Snapshots are large (as much as the keys and values of thousands of tokens), so few are made: at
// a prompt's last whole block, where an equal prompt goes on; where prompts were seen to part;
// every state_interval_tokens; and one that moves along with each sequence, for its next turn and
// for when it is preempted. The idea is SGLang's and vLLM's prefix cache of hybrid models.
#include <algorithm>
#include <utility>

#include "serving/engine/engine.h"

namespace oneai::serving {

// The most tokens, whole blocks and at most `num_tokens_max`, after which there is a snapshot.
int64_t Engine::BestState(Sequence& sequence, int64_t num_tokens_max) {
  const int64_t block_tokens = pool_.block_tokens();
  int64_t num_blocks = num_tokens_max / block_tokens;
  const absl::Span<const BlockHash> chain = ChainOf(sequence, num_blocks);
  while (num_blocks > 0 && !states_.Knows(chain[num_blocks - 1])) --num_blocks;
  return num_blocks * block_tokens;
}

// Gives the sequence a slot, for a state to begin or to be copied to. False: sequences hold all.
bool Engine::TakeState(Sequence& sequence) {
  if (!has_state()) return true;
  const std::optional<int32_t> slot = states_.Take();
  if (!slot.has_value()) return false;
  sequence.state_slot = *slot;
  sequence.state_tokens = 0;
  return true;
}

// Sets the sequence's state to the snapshot after `num_tokens` tokens, whole blocks; takes a slot
// if it has none. False: there is no such snapshot any more, and the state is at the beginning.
bool Engine::RestoreState(Sequence& sequence, int64_t num_tokens) {
  std::optional<int32_t> snapshot;
  if (num_tokens > 0) {
    const int64_t num_blocks = num_tokens / pool_.block_tokens();
    snapshot = states_.Find(ChainOf(sequence, num_blocks)[num_blocks - 1]);
  }
  // The slot may be that very snapshot's, when there is no other: its contents are what we want.
  if (sequence.state_slot < 0 && !TakeState(sequence)) return false;
  sequence.state_tokens = snapshot.has_value() ? num_tokens : 0;
  if (!snapshot.has_value()) return false;
  if (*snapshot != sequence.state_slot) runner_->CopyState(*snapshot, sequence.state_slot);
  return true;
}

// Where many others may want to go on.
bool Engine::IsLandmark(const Sequence& sequence, int64_t num_tokens) const {
  const int64_t block_tokens = pool_.block_tokens();
  return num_tokens == sequence.branch_tokens ||
         num_tokens == (sequence.num_prompt() - 1) / block_tokens * block_tokens ||
         num_tokens % options_.state_interval_tokens == 0;
}

// Takes the slots for the states within the next chunk of `num_tokens` tokens and the drafts after
// it; drafts for which there is none are dropped.
void Engine::PlanStates(Sequence& sequence, int64_t num_tokens) {
  GiveStates(sequence);
  if (sequence.state_slot < 0) return;
  const int64_t end = sequence.num_computed + num_tokens;
  const int64_t block_tokens = pool_.block_tokens();
  const int64_t last = (static_cast<int64_t>(sequence.tokens.size()) - 1) / block_tokens;
  for (size_t i = 0; i < sequence.drafts.size(); ++i) {
    const std::optional<int32_t> slot = states_.Take();
    if (!slot.has_value()) sequence.drafts.resize(i);
    if (slot.has_value()) sequence.step_states.push_back({end + static_cast<int64_t>(i), *slot});
  }
  if (!options_.prefix_cache) return;
  for (int64_t block = sequence.num_computed / block_tokens + 1; block * block_tokens < end;
       ++block) {
    const int64_t at = block * block_tokens;
    if (block != last && !IsLandmark(sequence, at)) continue;
    if (states_.Knows(ChainOf(sequence, block)[block - 1])) continue;
    const std::optional<int32_t> slot = states_.Take();
    if (!slot.has_value()) break;
    sequence.step_states.push_back({at, *slot});
  }
  std::ranges::sort(sequence.step_states, {}, &StateAt::num_tokens);
}

// After guesses that were wrong: back to the state behind the last token that is certain.
void Engine::RollBack(Sequence& sequence) {
  if (sequence.state_slot < 0 || sequence.state_tokens == sequence.num_computed) return;
  for (StateAt& state : sequence.step_states) {
    if (state.num_tokens != sequence.num_computed) continue;
    std::swap(state.slot, sequence.state_slot);
    std::swap(state.num_tokens, sequence.state_tokens);
    return;
  }
}

// Turns the states at the ends of blocks into snapshots, as far as their tokens are certain.
void Engine::KeepStates(Sequence& sequence) {
  if (sequence.state_slot < 0 || !options_.prefix_cache) return;
  const int64_t block_tokens = pool_.block_tokens();
  const int64_t latest = sequence.num_computed / block_tokens * block_tokens;
  for (StateAt& state : sequence.step_states) {
    if (state.num_tokens > sequence.num_computed || state.num_tokens % block_tokens != 0) continue;
    if (state.num_tokens != latest && !IsLandmark(sequence, state.num_tokens)) continue;
    KeepState(sequence, std::exchange(state, {}));
  }
  std::erase_if(sequence.step_states, [](const StateAt& state) { return state.slot < 0; });
  if (latest == 0 || sequence.state_tokens != latest) return;
  const int64_t num_blocks = latest / block_tokens;
  if (states_.Knows(ChainOf(sequence, num_blocks)[num_blocks - 1])) return;
  const std::optional<int32_t> slot = states_.Take();
  if (!slot.has_value()) return;
  runner_->CopyState(sequence.state_slot, *slot);
  KeepState(sequence, {latest, *slot});
}

void Engine::KeepState(Sequence& sequence, StateAt state) {
  const int64_t num_blocks = state.num_tokens / pool_.block_tokens();
  const BlockHash name = ChainOf(sequence, num_blocks)[num_blocks - 1];
  states_.Keep(name, state.slot);
  if (sequence.moving_state.has_value() && *sequence.moving_state != name) {
    states_.Drop(*sequence.moving_state);
  }
  sequence.moving_state.reset();
  if (!IsLandmark(sequence, state.num_tokens)) sequence.moving_state = name;
}

// Gives back the slots that a step took beside the sequence's own.
void Engine::GiveStates(Sequence& sequence) {
  for (const StateAt& state : sequence.step_states) states_.Give(state.slot);
  sequence.step_states.clear();
}

}  // namespace oneai::serving
