// File: serving/scheduler/batch_plan.h
//
// What the engine runs next: a pure function of the queue, the block pool and the limits. One token
// budget a step is shared by decodes (one token each) and chunks of prompts, so a long prompt never
// stops the others (arXiv:2308.16369); KV memory is paged, and when it runs out the youngest
// sequence gives its blocks back and is computed again later (arXiv:2309.06180). Tenants take turns
// by a virtual counter of the tokens they were served (arXiv:2401.00588). Room that is left
// verifies guesses at the next tokens (arXiv:2211.17192).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace oneai::serving {

enum class SequenceId : int64_t {};

// Units of service that a tenant is charged for a token; an output token costs a whole pass over
// the weights.
inline constexpr int64_t kPromptTokenCost = 1;
inline constexpr int64_t kOutputTokenCost = 2;

struct SequenceView {
  SequenceId id{};
  int64_t tenant = 0;    // index into SchedulerView::tenant_service
  int32_t priority = 0;  // higher first, among the requests of one tenant
  int64_t arrival = 0;   // order of submission, unique
  absl::Time deadline = absl::InfiniteFuture();
  bool paused =
      false;  // its reader is behind: keeps its blocks while nobody needs them, computes nothing
  bool resumed = false;           // was running before and has been preempted
  int64_t num_tokens = 0;         // prompt and output so far
  int64_t num_computed = 0;       // of those, in the KV cache; less than num_tokens
  int64_t num_blocks = 0;         // KV blocks held; 0 for a waiting one
  int64_t num_shared_blocks = 0;  // of them, held by others too: preempting it does not free them
  // Of a waiting one: tokens that it finds in the prefix cache when it is admitted, whole blocks,
  // less than num_tokens; and how many of their blocks are held by others, so that taking them
  // needs no free block.
  int64_t num_cached = 0;
  int64_t num_cached_held_blocks = 0;
  int64_t chunk_tokens_max = 0;  // most tokens of it in a step; 0: no limit of its own
  int64_t num_drafts_max = 0;    // guesses at its next tokens that are worth verifying
  absl::Time submitted = absl::InfiniteFuture();  // never: it does not age
};

// Of models without recurrent state: more than anybody needs.
inline constexpr int64_t kNoStates = int64_t{1} << 62;

struct SchedulerView {
  std::vector<SequenceView> running;
  std::vector<SequenceView> waiting;
  std::vector<int64_t> tenant_service;  // virtual counter of each tenant
  int64_t num_free_blocks = 0;
  int64_t block_tokens = 0;
  // Slots of recurrent state that no running sequence holds, of models that have such a state:
  // every running sequence has one, and every guess needs one to come back to.
  int64_t num_free_states = kNoStates;
  absl::Time now;
};

// max_running_sequences <= max_batch_tokens, both at least 1.
struct BatchLimits {
  int64_t max_batch_tokens = 0;
  int64_t max_running_sequences = 0;
  // A request that waits for so long is next whatever its tenant, priority or deadline.
  absl::Duration starvation_bound = absl::InfiniteDuration();
  // Of max_batch_tokens, for prompts in a step that also decodes; 0: all that decodes leave.
  int64_t max_prompt_tokens_beside_decodes = 0;
};

struct PlannedChunk {
  SequenceId id{};
  int64_t num_tokens = 0;  // the next ones that are not computed; at least 1
  int64_t num_drafts = 0;  // at most so many guesses after them, if they are its last
};

// To be carried out in the order of the members.
struct BatchPlan {
  std::vector<SequenceId> expired;  // deadline passed: drop, release the blocks
  std::vector<SequenceId>
      preempted;  // release the blocks, compute again from token 0 later; back to the waiting
  std::vector<SequenceId> admitted;  // from waiting to running
  std::vector<PlannedChunk> chunks;  // what the step computes, each sequence at most once
};

// Guarantees, given that the pool can hold any one sequence at its greatest length and that there
// are at least max_running_sequences states:
// - beside a decode, prompts get at most max_prompt_tokens_beside_decodes tokens in all;
// - the chunks hold at most max_batch_tokens tokens, drafts included, and their blocks fit the pool
//   once `expired` and `preempted` are released and the cached blocks of `admitted` are taken;
// - the states that `admitted` and the drafts need are free then, too;
// - when a sequence that is not paused exists, the plan computes at least one token, for the oldest
//   running one among others, or frees blocks so that the next plan does;
// - a sequence is preempted only for an older one, or when it is paused; never for drafts;
// - of the waiting, preempted ones come back first, then those that waited for starvation_bound, in
//   the order of their arrival; then the tenant that was served least, and of one tenant the
//   highest priority, the earliest deadline and the earliest arrival. Nobody is overtaken because
//   his request is large. So a request that waited for starvation_bound is overtaken by nobody who
//   arrived later, and is admitted once the older ones are through.
BatchPlan PlanBatch(const SchedulerView& view, const BatchLimits& limits);

// Blocks that hold `num_tokens` tokens.
inline int64_t BlocksFor(int64_t num_tokens, int64_t block_tokens) {
  return (num_tokens + block_tokens - 1) / block_tokens;
}

}  // namespace oneai::serving
