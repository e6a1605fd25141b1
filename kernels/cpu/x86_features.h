// From what an x86 processor and its operating system say to the features that kernels may use.
#pragma once

#include <cstdint>

#include "kernels/cpu/cpu_info.h"

namespace oneai::kernels {

struct CpuidLeaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Leaves that the processor does not have are zeros; xcr0 is 0 without OSXSAVE.
struct X86Facts {
  CpuidLeaf l1, l7, l7_1;
  uint64_t xcr0 = 0;
};
X86Facts ReadX86Facts();

// CPUID says what the silicon has, XCR0 which registers the operating system saves.
// `request_tiles` is called once if both have tiles, and not otherwise; false: no AMX.
// Sources: Intel SDM volume 1, chapters 13 and 18.
CpuFeatures FeaturesOf(const X86Facts& facts, bool (*request_tiles)());

// Asks Linux to lend the 8 KiB of tile state to the threads of this process, those that run already
// too (ARCH_REQ_XCOMP_PERM; children of fork inherit it, exec drops it). False: the kernel is older
// than 5.16, a seccomp filter refuses, or some thread's alternate signal stack is too small for
// the larger frames. Source: Linux Documentation/arch/x86/xstate.rst.
bool RequestTilePermission();

}  // namespace oneai::kernels
