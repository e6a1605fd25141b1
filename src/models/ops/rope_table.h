// File: models/ops/rope_table.h
//
// Cosines and sines of a step's tokens, and the scales of their queries.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "models/config/model_config.h"
#include "models/ops/rope_frequencies.h"

namespace oneai::models {

// Thread-compatible; buffers grow and are reused.
class RopeTable {
 public:
  explicit RopeTable(const ModelConfig& config);

  // Computes the table of a ragged step: positions [T], seq_start [num_sequences + 1],
  // prompt_tokens [num_sequences] (which matter for dynamic NTK only).
  void Compute(absl::Span<const int32_t> positions, absl::Span<const int32_t> seq_start,
               absl::Span<const int64_t> prompt_tokens);

  int64_t rotary_dim() const { return rotary_dim_; }
  const float* cos() const { return cos_.data(); }  // [T, rotary_dim / 2]
  const float* sin() const { return sin_.data(); }
  // [T] log-n scales of queries, at least 1; empty without log_n_attention.
  absl::Span<const float> query_scales() const { return query_scales_; }

 private:
  // Angles of prompts of one length class. Few exist: alpha is one less than a power of two.
  struct Frequencies {
    double alpha = 1.0;
    RopeFrequencies rope;
  };
  const RopeFrequencies& ForAlpha(double alpha);

  const ModelConfig& config_;
  const int64_t rotary_dim_;
  std::vector<Frequencies> frequencies_;
  std::vector<float> cos_, sin_, query_scales_;
};

}  // namespace oneai::models
