// What this machine's processor is and can do, and the instruction set that the kernels may use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::kernels {

// Levels of the kernels' variants, each containing those before it. kReference is portable C++.
enum class CpuIsa { kReference = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3 };

// "reference", "avx2", "avx512", "amx".
absl::string_view IsaName(CpuIsa isa);
// Parses the names above. kInvalidArgument: none of them.
absl::StatusOr<CpuIsa> ParseIsa(absl::string_view name);

// Features that the processor has *and* that the operating system saves across context switches.
// `amx_*` are true only when the kernel granted this process the use of tile registers.
struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA and F16C
  bool avx512 = false;       // F, BW, DQ, VL
  bool avx512_bf16 = false;  // vdpbf16ps
  bool avx512_vnni = false;  // vpdpbusd
  bool avx512_vbmi = false;  // vpermi2b
  bool amx_bf16 = false;     // tdpbf16ps
  bool amx_int8 = false;     // tdpbssd
  bool neon_bf16 = false;    // bfmmla
  bool neon_i8mm = false;    // smmla
};

// Facts for device discovery. Unknown numbers are 0, unknown strings empty.
struct CpuInfo {
  std::string vendor;        // "GenuineIntel", "AuthenticAMD", "aarch64"
  std::string model_name;    // as /proc/cpuinfo says
  std::string architecture;  // "x86_64", "aarch64"
  CpuFeatures features;
  int num_cpus = 0;                // logical processors that this process may run on
  int64_t memory_bytes = 0;        // physical memory of the machine
  int64_t memory_limit_bytes = 0;  // smallest of physical memory and this process's cgroup limit
  int64_t l1d_bytes = 0;           // of one core
  int64_t l2_bytes = 0;            // as seen by one core
  int64_t l3_bytes = 0;            // as seen by one core
  int num_numa_nodes = 0;
};

// Probes once per process; asks the kernel for tile permission then. Thread-safe.
const CpuInfo& GetCpuInfo();

// Names of the features that are present, e.g. {"avx2", "avx512", "avx512_bf16"}.
std::vector<std::string> FeatureNames(const CpuFeatures& features);

// The highest level this processor supports.
CpuIsa SupportedIsa();

// Limits every kernel of this process to `isa` or below. Call from main, before any kernel runs.
// kInvalidArgument: the processor does not have it. kFailedPrecondition: kernels were already
// picked.
absl::Status SetMaxIsa(CpuIsa isa);

// The limit in force (SupportedIsa() unless set). The first call fixes it. Thread-safe.
CpuIsa MaxIsa();

}  // namespace oneai::kernels
