// Prints the ceilings of this machine.
//
//   machine_peaks_bench [threads [seconds]]
#include <cstdio>
#include <cstdlib>

#include "benchmarks/kernels/machine_peaks.h"
#include "kernels/cpu/cpu_info.h"

int main(int argc, char** argv) {
  using namespace oneai::kernels;
  const MachinePeaks p =
      MeasurePeaks(argc > 1 ? std::atoi(argv[1]) : 0, argc > 2 ? std::atof(argv[2]) : 2.0);
  std::printf("%s, %d threads\n", GetCpuInfo().model_name.c_str(), p.threads);
  std::printf("DRAM read   %8.1f GB/s\n", p.dram_read_bytes_per_s / 1e9);
  std::printf("float32     %8.1f GFLOP/s (%s)\n", p.fp32_flops / 1e9, p.fp32_unit.c_str());
  std::printf("bf16        %8.1f GFLOP/s (%s)\n", p.bf16_flops / 1e9, p.bf16_unit.c_str());
  std::printf("int8        %8.1f GOP/s   (%s)\n", p.int8_ops / 1e9, p.int8_unit.c_str());
  return 0;
}
