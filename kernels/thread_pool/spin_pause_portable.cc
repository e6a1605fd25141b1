#include <atomic>

#include "kernels/thread_pool/spin_pause.h"

namespace oneai::kernels {

void SpinPause() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace oneai::kernels
