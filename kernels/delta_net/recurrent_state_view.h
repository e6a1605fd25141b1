// Where the recurrent state of one layer lies, for every sequence.
#pragma once

#include <cstdint>

namespace oneai::kernels {

// Slot s begins slot_stride * s floats further. What the arrays hold: causal_conv.h, delta_rule.h.
struct RecurrentStateView {
  float* tail = nullptr;   // [conv_kernel - 1, conv_width], oldest first
  float* state = nullptr;  // [num_value_heads] matrices, see DeltaStateIndex
  int64_t slot_stride = 0;
};

}  // namespace oneai::kernels
