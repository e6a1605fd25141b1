// File: compute_fabric/devices/host.h
//
// The host itself: processors, their matrix unit, and memory, read from /proc and the agent's
// cgroup.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "compute_fabric/devices/device.h"

namespace oneai::fabric {

struct CpuFacts {
  std::string kind;   // "x86-amx", "x86-avx512", "x86-avx2", "x86", "yitian-710", "arm-bf16",
                      // "arm-neon", or the architecture
  std::string model;  // "Intel(R) Xeon(R) ..."; empty when the kernel does not say
};

// Reads the text of /proc/cpuinfo of a machine of `architecture` (uname -m). Pure. The kind is the
// best matrix unit that the kernels in this tree can use; its order is amx > avx512 > avx2 > plain.
CpuFacts ParseCpuInfo(absl::string_view cpuinfo, absl::string_view architecture);

// MemTotal of the text of /proc/meminfo in bytes; 0 when absent. Pure.
int64_t ParseMemTotal(absl::string_view meminfo);

// uname -m.
std::string HostArchitecture();
CpuFacts ReadCpuFacts();

// Cores that this process may use: affinity and cgroup quota considered, in thousandths.
int64_t UsableCpuMilli();
// Physical memory or the cgroup's limit, whichever is less.
int64_t UsableMemoryBytes();

// The CPU's matrix unit as one device with id "cpu-0". It has no memory of its own.
DeviceInfo CpuDevice(const CpuFacts& facts);

}  // namespace oneai::fabric
