// Processors without own kernels yet report what Linux's auxiliary vector says about them.
#include <sys/auxv.h>
#include <sys/utsname.h>

#include "kernels/cpu/cpu_features.h"

namespace oneai::kernels {
namespace {

// Linux arch/arm64/include/uapi/asm/hwcap.h.
constexpr unsigned long kHwcap2I8mm = 1ul << 13;
constexpr unsigned long kHwcap2Bf16 = 1ul << 14;

}  // namespace

void DetectFeatures(CpuInfo& info) {
  utsname name{};
  if (uname(&name) == 0) info.architecture = name.machine;
  info.vendor = info.architecture;
  if (info.architecture != "aarch64") return;
  const unsigned long hwcap2 = getauxval(AT_HWCAP2);
  info.features.neon_bf16 = (hwcap2 & kHwcap2Bf16) != 0;
  info.features.neon_i8mm = (hwcap2 & kHwcap2I8mm) != 0;
}

}  // namespace oneai::kernels
