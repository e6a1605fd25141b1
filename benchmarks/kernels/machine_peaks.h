// Ceilings of this machine, measured in the same run as the kernels that are held against them.
#pragma once

#include "absl/strings/string_view.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// Bytes per second that all threads of `ctx` together read from memory (512 MiB, best of several
// passes).
double MeasureReadBandwidth(KernelContext& ctx);

// Floating point operations per second (a multiply-add is two) of the instruction behind the gemm
// variant `name`, on registers only, all threads together. 0 for variants without an instruction of
// their own.
double MeasurePeakFlops(absl::string_view name, KernelContext& ctx);

// Runs the instruction `iterations` times per accumulator and returns the operations done.
using PeakLoop = double (*)(long iterations);
double PeakLoopAvx2F32(long iterations);
double PeakLoopAvx512F32(long iterations);
double PeakLoopAvx512Bf16(long iterations);
double PeakLoopAmxBf16(long iterations);

}  // namespace oneai::kernels
