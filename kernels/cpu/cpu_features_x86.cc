// CPUID says what the silicon has, XCR0 which registers the operating system saves, and Linux lends
// the 8 KiB of tile state per thread only to processes that ask (arch_prctl). Sources: Intel SDM
// volume 1, chapters 13 and 18; Linux Documentation/arch/x86/xstate.rst.
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "kernels/cpu/cpu_features.h"

namespace oneai::kernels {
namespace {

constexpr int kArchReqXcompPerm = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr int kXfeatureXtiledata = 18;

struct Leaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf Cpuid(uint32_t leaf, uint32_t subleaf) {
  Leaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return Leaf{};
  return r;
}

bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1u) != 0; }

uint64_t ReadXcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool RequestTilePermission() {
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

}  // namespace

void DetectFeatures(CpuInfo& info) {
  info.architecture = "x86_64";
  const Leaf l0 = Cpuid(0, 0);
  char vendor[13] = {};
  std::memcpy(vendor + 0, &l0.ebx, 4);
  std::memcpy(vendor + 4, &l0.edx, 4);
  std::memcpy(vendor + 8, &l0.ecx, 4);
  info.vendor = vendor;

  const Leaf l1 = Cpuid(1, 0);
  if (!Bit(l1.ecx, 27)) return;  // OSXSAVE: without it xgetbv itself is illegal
  const uint64_t xcr0 = ReadXcr0();
  const bool saves_ymm = (xcr0 & 0x6) == 0x6;
  const bool saves_zmm = (xcr0 & 0xe6) == 0xe6;
  const bool saves_tiles = (xcr0 & 0x60000) == 0x60000;

  const Leaf l7 = Cpuid(7, 0);
  const Leaf l7_1 = Cpuid(7, 1);
  CpuFeatures& f = info.features;
  f.avx2 = saves_ymm && Bit(l7.ebx, 5) && Bit(l1.ecx, 12) && Bit(l1.ecx, 29);  // AVX2, FMA, F16C
  f.avx512 = f.avx2 && saves_zmm && Bit(l7.ebx, 16) && Bit(l7.ebx, 17) && Bit(l7.ebx, 30) &&
             Bit(l7.ebx, 31);  // F, DQ, BW, VL
  f.avx512_bf16 = f.avx512 && Bit(l7_1.eax, 5);
  f.avx512_vnni = f.avx512 && Bit(l7.ecx, 11);
  f.avx512_vbmi = f.avx512 && Bit(l7.ecx, 1);
  const bool has_tiles = saves_tiles && Bit(l7.edx, 24);
  if (has_tiles && RequestTilePermission()) {
    f.amx_bf16 = Bit(l7.edx, 22);
    f.amx_int8 = Bit(l7.edx, 25);
  }
}

}  // namespace oneai::kernels
