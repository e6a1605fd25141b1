#include "kernels/cpu/x86_features.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace oneai::kernels {
namespace {

constexpr int kArchReqXcompPerm = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr int kXfeatureXtiledata = 18;
constexpr int kOsxsave = 27;  // of leaf 1's ecx

CpuidLeaf Cpuid(uint32_t leaf, uint32_t subleaf) {
  CpuidLeaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1u) != 0; }

uint64_t ReadXcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

}  // namespace

X86Facts ReadX86Facts() {
  X86Facts facts;
  facts.l1 = Cpuid(1, 0);
  facts.l7 = Cpuid(7, 0);
  if (facts.l7.eax >= 1) facts.l7_1 = Cpuid(7, 1);
  if (Bit(facts.l1.ecx, kOsxsave)) facts.xcr0 = ReadXcr0();  // else xgetbv itself is illegal
  return facts;
}

CpuFeatures FeaturesOf(const X86Facts& facts, bool (*request_tiles)()) {
  const auto& [l1, l7, l7_1, xcr0] = facts;
  const bool saves_ymm = (xcr0 & 0x6) == 0x6;
  const bool saves_zmm = (xcr0 & 0xe6) == 0xe6;
  const bool saves_tiles = (xcr0 & 0x60000) == 0x60000;
  CpuFeatures f;
  f.avx2 = saves_ymm && Bit(l7.ebx, 5) && Bit(l1.ecx, 12) && Bit(l1.ecx, 29);  // AVX2, FMA, F16C
  f.avx512 = f.avx2 && saves_zmm && Bit(l7.ebx, 16) && Bit(l7.ebx, 17) && Bit(l7.ebx, 30) &&
             Bit(l7.ebx, 31);  // F, DQ, BW, VL
  f.avx512_bf16 = f.avx512 && Bit(l7_1.eax, 5);
  f.avx512_vnni = f.avx512 && Bit(l7.ecx, 11);
  f.avx512_vbmi = f.avx512 && Bit(l7.ecx, 1);
  const bool has_tiles = saves_tiles && Bit(l7.edx, 24);
  if (has_tiles && request_tiles()) {
    f.amx_bf16 = Bit(l7.edx, 22);
    f.amx_int8 = Bit(l7.edx, 25);
  }
  return f;
}

bool RequestTilePermission() {
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

}  // namespace oneai::kernels
