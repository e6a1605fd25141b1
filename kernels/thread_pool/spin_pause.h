// A hint to the processor that this thread is spinning.
#pragma once

namespace oneai::kernels {

// Waits some tens of cycles without holding up the core's other thread. Nothing where the
// architecture has no such instruction.
void SpinPause();

}  // namespace oneai::kernels
