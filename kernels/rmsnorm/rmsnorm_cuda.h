// RmsNorm() of rmsnorm.h on an NVIDIA GPU. Only built where nvcc is; links the CUDA runtime
// statically, so a binary also starts on machines without CUDA.
#pragma once

#include "kernels/rmsnorm/rmsnorm.h"

namespace oneai::kernels {

// Enqueues the computation of `args`, whose pointers are device memory, on `stream` (a
// cudaStream_t; null is the default stream). Returns 0 or the cudaError_t of the launch. Sums in
// float32 in an order that depends on dim only (batch-invariant). No rows: no-op.
int RmsNormCuda(const RmsNormArgs& args, void* stream);

}  // namespace oneai::kernels
