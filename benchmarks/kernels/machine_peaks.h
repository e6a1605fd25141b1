// Ceilings of this machine, measured in the same run as the kernels that are held against them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {

// What all threads together reach. A multiply-add is two operations. `*_unit` names the instruction
// set that the figure belongs to ("avx2", "avx512", "avx512_bf16", "amx_bf16", "avx512_vnni",
// "amx_int8"); "" and 0 where the processor has no such instruction.
struct MachinePeaks {
  int threads = 0;
  double dram_read_bytes_per_s = 0;
  double fp32_flops = 0;
  std::string fp32_unit;
  double bf16_flops = 0;
  std::string bf16_unit;
  double int8_ops = 0;
  std::string int8_unit;
};

// Measures them on `threads` threads (<= 0: as many as a KernelContext takes by default), `seconds`
// in all, the best of several passes each, since what disturbs a pass only slows it. Takes 1 GiB
// while it runs.
MachinePeaks MeasurePeaks(int threads, double seconds);

// 1 GiB that all threads of a context read from memory again and again: each its own contiguous
// part, which it wrote first (so that it lies on its NUMA node), on huge pages where the system
// gives them. Borrows the context.
class MemoryReader {
 public:
  explicit MemoryReader(KernelContext& ctx);
  ~MemoryReader();
  MemoryReader(const MemoryReader&) = delete;
  MemoryReader& operator=(const MemoryReader&) = delete;

  // Bytes per second of each piece of 64 MiB, read for `seconds` and at least once through. Timed
  // piece by piece because a longer pass would hardly escape other processes' time slices. Empty
  // where there was no memory.
  std::vector<double> ReadPieces(double seconds);

 private:
  KernelContext& ctx_;
  void* mapped_;
  std::byte* data_ = nullptr;
};

// Loads every byte of [begin, begin + bytes) once, in order, and asks for each line by prefetchnta
// `ahead_bytes` before: what a kernel would do that only had to read. `bytes` is a multiple of 64.
// Returns a value that depends on all of them.
uint64_t ReadOnce(const std::byte* begin, int64_t bytes, int64_t ahead_bytes);

// The best piece of a MemoryReader; 0 where there was no memory.
double MeasureReadBandwidth(KernelContext& ctx, double seconds = 0.4);

// Operations per second of the instruction behind the unit `name` (as above), on registers only,
// all threads of `ctx` together. 0 for names without an instruction of their own and for
// instructions that this processor lacks.
double MeasurePeakFlops(absl::string_view name, KernelContext& ctx, double seconds = 0.1);

// Runs the instruction `iterations` times per accumulator and returns the operations done. There
// are more independent accumulators than latency times throughput of any processor so far.
using PeakLoop = double (*)(long iterations);
double PeakLoopAvx2F32(long iterations);
double PeakLoopAvx512F32(long iterations);
double PeakLoopAvx512Bf16(long iterations);
double PeakLoopAvx512Vnni(long iterations);
double PeakLoopAmxBf16(long iterations);
double PeakLoopAmxInt8(long iterations);

}  // namespace oneai::kernels
