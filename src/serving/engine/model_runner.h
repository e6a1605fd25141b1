// File: serving/engine/model_runner.h
//
// The engine's view of a model on a device: a ragged batch in, rows of logits out, keys and values
// in numbered blocks. The CPU model implements it, and so will other devices; tests use a
// deterministic fake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace oneai::kernels {
class ThreadPool;  // kernels/thread_pool/thread_pool.h
}

namespace oneai::serving {

// A slot that receives the recurrent state after the first `num_tokens` tokens of a chunk.
struct RunnerCheckpoint {
  int64_t num_tokens = 0;
  int32_t slot = 0;
};

// Consecutive tokens of one sequence. Spans are borrowed for the call.
struct RunnerChunk {
  absl::Span<const int32_t> token_ids;    // at least one
  int64_t start = 0;                      // position of the first; those before it are in the cache
  absl::Span<const int32_t> block_table;  // covers all positions up to the chunk's end
  int64_t num_logit_rows = 0;             // of the chunk's last so many tokens
  // As in models::SequenceChunk.
  int64_t prompt_tokens = 0;
  int32_t adapter = -1;
  int32_t state_slot = 0;
  absl::Span<const int32_t> state_snapshots;
  absl::Span<const RunnerCheckpoint> state_checkpoints;
  // Also the final-normed hidden states of the chunk's last so many tokens.
  int64_t num_hidden_rows = 0;
};

// What a model's own draft head reads, as models::DraftChunk: consecutive positions of one sequence
// whose hidden states are known, each with the token after it. Spans are borrowed for the call.
struct RunnerDraft {
  absl::Span<const int32_t> next_tokens;  // at least one
  absl::Span<const float> hidden;         // [next_tokens.size(), hidden_size]
  int64_t start = 0;                      // the first position
  absl::Span<const int32_t> block_table;
  int64_t num_logit_rows = 0;
};

struct RunnerOutput {
  std::vector<float> logits;  // [rows, output_dim]: the wanted rows of the chunks, in order
  std::vector<float> hidden;  // [wanted rows of hidden states, hidden_size], in order
};

// Thread-compatible but for the adapters.
class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  virtual int64_t vocab_size() const = 0;  // token ids it takes
  // Width of a row of logits: vocab_size, or the labels of a classifier.
  virtual int64_t output_dim() const { return vocab_size(); }
  virtual bool generates_text() const { return true; }
  virtual int64_t hidden_size() const { return 0; }  // 0: gives no hidden states
  virtual int64_t num_blocks() const = 0;
  virtual int64_t block_tokens() const = 0;
  // Of models with recurrent layers: states that it can hold, one for each running sequence, the
  // others for guesses and for the prefix cache. 0: no such layers.
  virtual int64_t num_state_slots() const { return 0; }
  // Blocks of prompts of different salts are not interchangeable although their tokens are equal
  // (Qwen-1 sets its rotary base by the length of the prompt).
  virtual uint64_t PrefixSalt(int64_t prompt_tokens) const {
    (void)prompt_tokens;
    return 0;
  }

  // Writes the chunks' keys and values and `output`. Computing a chunk again after a failure is
  // safe, except for recurrent state. May throw; the engine treats that as kInternal. A row's bits
  // depend on its sequence's tokens alone: not on the other chunks, nor on how its tokens were cut
  // into chunks.
  virtual absl::Status Forward(absl::Span<const RunnerChunk> chunks, RunnerOutput& output) = 0;

  // Whether the model has a head of its own that guesses (multi-token prediction).
  virtual bool has_draft_head() const { return false; }
  // Lets it read `drafts`, in its own layer's part of the blocks. Sets output.logits to its
  // guesses' logits, and output.hidden to the states from which it may guess once more. May throw.
  virtual absl::Status Draft(absl::Span<const RunnerDraft> drafts, RunnerOutput& output) {
    (void)drafts, (void)output;
    return absl::FailedPreconditionError("this model has no draft head");
  }

  // Threads that idle between steps, for the engine's own loops; null: none. One caller at a time.
  virtual kernels::ThreadPool* threads() { return nullptr; }

  // Copies the keys and values of a block, or the recurrent state of a slot.
  virtual void CopyBlock(int32_t from, int32_t to) = 0;
  virtual void CopyState(int32_t from, int32_t to) {
    (void)from;
    (void)to;
  }
  // A block as bytes, for a cache outside of the device; empty: it cannot be had.
  virtual absl::Span<std::byte> BlockBytes(int32_t block) {
    (void)block;
    return {};
  }

  // Reads a PEFT LoRA adapter and numbers it. This and UnloadAdapter may be called by any thread
  // while a step runs. Errors: those of the loader.
  virtual absl::StatusOr<int32_t> LoadAdapter(const std::filesystem::path& folder) {
    return absl::UnimplementedError(
        absl::StrCat("this model takes no LoRA adapters; ", folder.string(), " was not loaded"));
  }
  // No chunk uses it any more.
  virtual absl::Status UnloadAdapter(int32_t adapter) {
    return absl::NotFoundError(absl::StrCat("adapter ", adapter, " is not loaded"));
  }
};

}  // namespace oneai::serving
