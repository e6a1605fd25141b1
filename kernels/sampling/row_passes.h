// The passes over a row of logits or weights that sampling is made of, in blocks. One row, one
// thread: bits depend on the row alone. Variants differ in the last bits of the exponentials.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/variant.h"

namespace oneai::kernels {

// Logits of a block. The last one of a row may be shorter.
inline constexpr int64_t kRowBlock = 256;
inline constexpr int64_t NumRowBlocks(int64_t n) { return (n + kRowBlock - 1) / kRowBlock; }
inline constexpr int kNumThresholds = 8;
// What GatherBetween may write beyond what it counts.
inline constexpr int64_t kGatherSlack = 16;

struct RowPasses {
  // block_max [NumRowBlocks(n)]: the largest of each block; -infinity where there is none. NaN
  // never counts.
  void (*block_max)(const float* logits, int64_t n, float* block_max);
  // weights [n]: exp((logit - max) * inverse_temperature) where logit >= threshold, 0 elsewhere,
  // for NaN and below e^-87; block_sum [blocks]: their sums. A weight's relative error is below
  // 2^-21 and the distance's own rounding; a sum adds 2^-20.
  void (*weights)(const float* logits, int64_t n, float max, float inverse_temperature,
                  float threshold, float* weights, double* block_sum);
  // As weights at temperature 1 and without a threshold; the sums alone.
  void (*exp_sums)(const float* logits, int64_t n, float max, double* block_sum);
  // sums [j]: of the weights >= thresholds[j], which descend.
  void (*sums_above)(const float* weights, int64_t n, const float* thresholds, double* sums);
  // ids, ascending, of low <= weight < high, and block_sum of weight >= high. Returns how many ids;
  // `ids` has room for kGatherSlack more.
  int64_t (*gather_between)(const float* weights, int64_t n, float low, float high, int32_t* ids,
                            double* block_sum);
};

absl::Span<const Variant<const RowPasses*>> RowPassesVariants();
const RowPasses& PickedRowPasses();

// Rows of the variants' table.
extern const RowPasses kRowPassesRef, kRowPassesAvx2, kRowPassesAvx512;

}  // namespace oneai::kernels
