// How the engine uses the prefix cache: what a request finds when it is admitted, and what its
// blocks are called once they are full.
#include <algorithm>

#include "serving/engine/engine.h"

namespace oneai::serving {

// Log-probabilities of the prompt need the logits of all its tokens, so these are all computed.
bool Engine::UsesCache(const Sequence& sequence) const {
  return options_.prefix_cache && !sequence.wants_prompt_scores();
}

absl::Span<const BlockHash> Engine::ChainOf(Sequence& sequence, int64_t num_blocks) {
  if (num_blocks == 0) return {};
  const GenerationRequest& request = sequence.owner.request;
  const BlockHash scope =
      HashScope(hash_key_, {request.tenant, request.cache_salt, sequence.owner.adapter_edition,
                            runner_->PrefixSalt(sequence.num_prompt())});
  return sequence.Chain(hash_key_, scope, pool_.block_tokens(), num_blocks);
}

// The last token is always computed: its logits are wanted.
void Engine::LookUp(Sequence& sequence, SequenceView& view) {
  if (!UsesCache(sequence)) return;
  const int64_t num_whole =
      (static_cast<int64_t>(sequence.tokens.size()) - 1) / pool_.block_tokens();
  const absl::Span<const BlockHash> chain = ChainOf(sequence, num_whole);
  PrefixMatch match = pool_.Find(chain);
  if (file_ != nullptr) {
    while (match.num_blocks < num_whole && file_->Knows(chain[match.num_blocks])) {
      ++match.num_blocks;
    }
  }
  if (has_state()) {
    const int64_t num_tokens = match.num_blocks * pool_.block_tokens();
    const int64_t num_usable = BestState(sequence, num_tokens);
    sequence.branch_tokens = num_tokens > num_usable ? num_tokens : 0;
    match = pool_.Find(chain.first(num_usable / pool_.block_tokens()));
    match.num_blocks = num_usable / pool_.block_tokens();
  }
  if (match.num_blocks == 0) return;
  view.num_cached = match.num_blocks * pool_.block_tokens();
  view.num_cached_held_blocks = match.num_held;
  matches_[sequence.id] = match;
}

// Takes the state, too; if its snapshot is gone, then `match` shrinks to nothing.
void Engine::AdoptBlocks(Sequence& sequence, PrefixMatch& match) {
  if (has_state() && !RestoreState(sequence, match.num_blocks * pool_.block_tokens())) match = {};
  if (match.num_blocks == 0) return;
  sequence.num_published = pool_.Adopt(sequence.id, ChainOf(sequence, match.num_blocks));
  sequence.num_computed = sequence.num_published * pool_.block_tokens();
}

// Goes on where memory ends. A block that is gone or damaged is computed instead.
void Engine::ReadBlocks(Sequence& sequence, int64_t num_blocks) {
  const int64_t block_tokens = pool_.block_tokens();
  while (file_ != nullptr && sequence.num_published < num_blocks) {
    const int64_t index = sequence.num_published;
    const BlockHash hash = ChainOf(sequence, num_blocks)[index];
    if (!pool_.Grow(sequence.id, (index + 1) * block_tokens).ok()) return;
    const BlockId block = pool_.BlockTable(sequence.id)[index];
    if (!file_->Get(hash, runner_->BlockBytes(block))) return;
    pool_.Publish(sequence.id, index, hash);
    ++sequence.num_published;
    sequence.num_computed = sequence.num_published * block_tokens;
  }
}

// A state that is further than the blocks that could be had is of no use, nor are these.
void Engine::ReconcileState(Sequence& sequence) {
  if (!has_state() || sequence.state_tokens == sequence.num_computed) return;
  pool_.Release(sequence.id);
  sequence.Reset();
}

void Engine::PublishBlocks(Sequence& sequence) {
  if (!options_.prefix_cache) return;
  const int64_t num_full = sequence.num_computed / pool_.block_tokens();
  if (num_full <= sequence.num_published) return;
  const absl::Span<const BlockHash> chain = ChainOf(sequence, num_full);
  for (; sequence.num_published < num_full; ++sequence.num_published) {
    pool_.Publish(sequence.id, sequence.num_published, chain[sequence.num_published]);
  }
}

}  // namespace oneai::serving
