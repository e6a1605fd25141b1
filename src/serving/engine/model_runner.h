// File: serving/engine/model_runner.h
//
// The engine's view of a model on a device: a ragged batch in, rows of logits out, keys and values
// in numbered blocks. The CPU model implements it, and so will other devices; tests use a
// deterministic fake.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace oneai::serving {

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
};

// Thread-compatible.
class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t num_blocks() const = 0;
  virtual int64_t block_tokens() const = 0;

  // Writes the chunks' keys and values and `logits` [rows, vocab_size]: the wanted rows of the
  // chunks, in order.
  // Computing a chunk again after a failure is safe. May throw; the engine treats that as
  // kInternal.
  virtual absl::Status Forward(absl::Span<const RunnerChunk> chunks,
                               std::vector<float>& logits) = 0;
};

}  // namespace oneai::serving
