// The part of processor detection that differs by architecture.
#pragma once

#include "kernels/cpu/cpu_info.h"

namespace oneai::kernels {

// Fills vendor, architecture and features by asking the processor and the kernel.
void DetectFeatures(CpuInfo& info);

}  // namespace oneai::kernels
