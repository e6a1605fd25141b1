// Linked into a test binary, this takes the place of kernels/cpu/cpu_features_x86.cc: the same
// detection, fed with the facts of a processor that has AMX. The tables then offer their AMX rows
// to tests and dispatch. On a processor with the unit the facts are left alone, and the same tests
// run on hardware.
#include <atomic>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/x86_features.h"
#include "tests/testing/amx_emulator.h"

namespace oneai::kernels {
namespace {

// A fault of a loop would come thousands of times.
void FailTest(const char* message) {
  static std::atomic<int> num_faults{0};
  if (num_faults.fetch_add(1) < 10) ADD_FAILURE() << message;
}

bool LendEmulator() {
  oneai::testing::InstallAmxEmulator(FailTest);
  return true;
}

}  // namespace

void DetectFeatures(CpuInfo& info) {
  info.architecture = "x86_64";
  info.vendor = "emulator";
  const X86Facts real = ReadX86Facts();
  info.features = FeaturesOf(real, RequestTilePermission);
  if (info.features.amx_bf16 || !info.features.avx512) return;
  X86Facts facts = real;
  facts.l7.edx |= 1u << 22 | 1u << 24 | 1u << 25;  // AMX-BF16, AMX-TILE, AMX-INT8
  facts.xcr0 |= 0x60000;
  info.features = FeaturesOf(facts, LendEmulator);
}

}  // namespace oneai::kernels
