// File: model_platform/data/packed_sequences.h
//
// Which tokens training step n sees: a pure function of (files, max_length, seed, n). Nothing about
// machines or ranks enters it, so a resumed run, or one of another world size with the same global
// batch, goes on exactly where the first one stopped.
//
// Each epoch lays the documents out in a shuffled order, one after the other, and cuts the stream
// into sequences of max_length tokens; the order of the sequences is shuffled as well, so that
// neighbours do not share a document. The tail of fewer than max_length tokens waits for the next
// epoch's order. A document keeps its bounds within a sequence: labels at its end are ignored and
// the next one's positions restart (see models/ops/torch_batch.h).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model_platform/data/token_file.h"

namespace oneai::platform {

inline constexpr int64_t kIgnoredLabel = -100;

struct PackedSequence {
  std::vector<int64_t> tokens;           // [max_length]
  std::vector<int64_t> targets;          // [max_length]: the next token, or kIgnoredLabel where the
                                         // document ends and nothing can predict what follows
  std::vector<int64_t> document_starts;  // ascending, the first is 0
};

// Thread-compatible: remembers the order of the epoch last asked for.
class PackedSequences {
 public:
  // FailedPrecondition: fewer than max_length tokens, so that there is not one sequence.
  static absl::StatusOr<PackedSequences> Create(TokenFile file, int64_t max_length,
                                                int64_t vocab_size, uint64_t seed);

  // Sequence number `sample` of the endless stream of epochs. DataLoss: a token id outside the
  // vocabulary.
  absl::StatusOr<PackedSequence> Get(int64_t sample);

  int64_t sequences_per_epoch() const { return sequences_per_epoch_; }

 private:
  PackedSequences(TokenFile file, int64_t max_length, int64_t vocab_size, uint64_t seed);
  void EnterEpoch(int64_t epoch);

  TokenFile file_;
  int64_t max_length_;
  int64_t vocab_size_;
  uint64_t seed_;
  int64_t sequences_per_epoch_;

  int64_t epoch_ = -1;
  std::vector<int64_t> document_order_;  // [documents]
  std::vector<int64_t> stream_begin_;  // [documents + 1]: tokens before each of them in the stream
  std::vector<int64_t> sequence_order_;  // [sequences_per_epoch]
};

}  // namespace oneai::platform
