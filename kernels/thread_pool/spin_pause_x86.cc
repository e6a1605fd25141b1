#include "kernels/thread_pool/spin_pause.h"

namespace oneai::kernels {

void SpinPause() { __builtin_ia32_pause(); }

}  // namespace oneai::kernels
