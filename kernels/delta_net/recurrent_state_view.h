// Where the recurrent state of one layer lies, and which of it a step reads and writes.
#pragma once

#include <cstdint>

namespace oneai::kernels {

// Slot s begins slot_stride * s floats further. What the arrays hold: causal_conv.h, delta_rule.h.
struct RecurrentStateView {
  float* tail = nullptr;   // [conv_kernel - 1, conv_width], oldest first
  float* state = nullptr;  // [num_value_heads] matrices, see DeltaStateIndex
  int64_t slot_stride = 0;
};

inline constexpr int32_t kZeroState = -1;

// Consecutive tokens [begin, end) of one sequence, by their rows in the step. They start from what
// slot `from` holds, or from zeros when it is kZeroState; slot `to` receives the state after them.
// When from != to, `from` stays as it is. The runs of one call write distinct slots, and read none
// that another run of the call writes.
struct RecurrentRun {
  int32_t begin = 0, end = 0;
  int32_t from = kZeroState, to = 0;
};

}  // namespace oneai::kernels
