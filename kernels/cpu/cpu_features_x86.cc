#include <cpuid.h>

#include <cstring>

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/x86_features.h"

namespace oneai::kernels {

void DetectFeatures(CpuInfo& info) {
  info.architecture = "x86_64";
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) != 0) {
    char vendor[13] = {};
    std::memcpy(vendor + 0, &ebx, 4);
    std::memcpy(vendor + 4, &edx, 4);
    std::memcpy(vendor + 8, &ecx, 4);
    info.vendor = vendor;
  }
  info.features = FeaturesOf(ReadX86Facts(), RequestTilePermission);
}

}  // namespace oneai::kernels
