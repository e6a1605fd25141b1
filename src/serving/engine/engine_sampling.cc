// The tokens of a step, chosen by all threads: at 16 sequences and 152k logits each, passes over
// the rows would otherwise take as long as a layer of the model.
#include "kernels/thread_pool/thread_pool.h"
#include "serving/engine/engine.h"

namespace oneai::serving {
namespace {

// Whether its next token is drawn from the chunk's rows, and nobody else reads them before.
bool DrawsFrom(const Sequence& sequence, int64_t num_tokens, int64_t num_rows) {
  const ActiveRequest& owner = sequence.owner;
  const bool reaches_end =
      sequence.num_computed + num_tokens == static_cast<int64_t>(sequence.tokens.size());
  return reaches_end && num_rows > 0 && owner.request.kind == RequestKind::kText &&
         owner.request.sampling.max_tokens > 0 && !sequence.wants_prompt_scores() &&
         (owner.forked || owner.request.best_of == 1);
}

}  // namespace

// Of every sequence the first token alone: the next depends on it. Rows are independent of each
// other, and each is one thread's, so the tokens do not depend on the number of threads.
void Engine::ChooseTokens(absl::Span<const StepChunk> chunks) {
  to_choose_.clear();
  for (const StepChunk& chunk : chunks) {
    if (!sequences_.contains(chunk.id)) continue;
    if (DrawsFrom(*chunk.sequence, chunk.num_tokens, chunk.num_rows)) to_choose_.push_back(&chunk);
  }
  kernels::ThreadPool* threads = runner_->threads();
  // One row is chosen where it is asked for.
  if (threads == nullptr || to_choose_.size() < 2) return;
  scratch_.resize(threads->num_threads());
  threads->ParallelFor(
      static_cast<int64_t>(to_choose_.size()), [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) {
          const StepChunk& chunk = *to_choose_[i];
          const int64_t num_drafts = static_cast<int64_t>(chunk.sequence->drafts.size());
          chunk.sequence->ChooseToken(Row(chunk.first_row + chunk.num_rows - 1 - num_drafts),
                                      scratch_[worker]);
        }
      });
}

}  // namespace oneai::serving
