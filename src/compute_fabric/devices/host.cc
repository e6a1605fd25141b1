// File: compute_fabric/devices/host.cc
#include "compute_fabric/devices/host.h"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace oneai::fabric {
namespace {

std::string ReadText(const char* path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// The value of the first "key : value" line.
absl::string_view FirstValue(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(parts.first) == key) {
      return absl::StripAsciiWhitespace(parts.second);
    }
  }
  return "";
}

// Yitian 710 is built on Arm's Neoverse N2 and reports T-Head's own implementer or Arm's with this
// part.
bool IsYitian710(absl::string_view cpuinfo) {
  const absl::string_view implementer = FirstValue(cpuinfo, "CPU implementer");
  const absl::string_view part = FirstValue(cpuinfo, "CPU part");
  return part == "0xd49" && (implementer == "0x41" || implementer == "0x48") &&
         FirstValue(cpuinfo, "model name").find("Yitian") != absl::string_view::npos;
}

std::string KindOf(absl::string_view cpuinfo, absl::string_view architecture) {
  const bool is_x86 = architecture == "x86_64";
  const bool is_arm = architecture == "aarch64";
  const absl::string_view line = FirstValue(cpuinfo, is_arm ? "Features" : "flags");
  const std::set<absl::string_view> features = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (is_x86) {
    if (features.contains("amx_tile") && features.contains("amx_bf16")) return "x86-amx";
    if (features.contains("avx512f") && features.contains("avx512bw")) return "x86-avx512";
    if (features.contains("avx2") && features.contains("fma")) return "x86-avx2";
    return "x86";
  }
  if (is_arm) {
    if (IsYitian710(cpuinfo)) return "yitian-710";
    return features.contains("bf16") && features.contains("i8mm") ? "arm-bf16" : "arm-neon";
  }
  return std::string(architecture);
}

// A cgroup limit file's number; `none` for "max" or an absent file.
int64_t CgroupLimit(const char* v2, const char* v1, int64_t none) {
  for (const char* path : {v2, v1}) {
    int64_t limit = 0;
    if (absl::SimpleAtoi(ReadText(path), &limit) && limit > 0) return limit;
  }
  return none;
}

}  // namespace

CpuFacts ParseCpuInfo(absl::string_view cpuinfo, absl::string_view architecture) {
  return {KindOf(cpuinfo, architecture), std::string(FirstValue(cpuinfo, "model name"))};
}

int64_t ParseMemTotal(absl::string_view meminfo) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(FirstValue(meminfo, "MemTotal"), ' ', absl::SkipEmpty());
  int64_t kibibytes = 0;
  if (words.empty() || !absl::SimpleAtoi(words[0], &kibibytes)) return 0;
  return kibibytes * 1024;
}

std::string HostArchitecture() {
  utsname name{};
  return uname(&name) == 0 ? name.machine : "unknown";
}

CpuFacts ReadCpuFacts() { return ParseCpuInfo(ReadText("/proc/cpuinfo"), HostArchitecture()); }

int64_t UsableCpuMilli() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int64_t milli = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) * 1000 : 1000;
  // v2: "<quota or max> <period>" in one file.
  const std::vector<std::string> v2 =
      absl::StrSplit(ReadText("/sys/fs/cgroup/cpu.max"), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  int64_t quota = 0;
  int64_t period = 0;
  if (v2.size() == 2 && absl::SimpleAtoi(v2[0], &quota) && absl::SimpleAtoi(v2[1], &period) &&
      period > 0) {
    milli = std::min(milli, quota * 1000 / period);
  }
  return std::max<int64_t>(milli, 1);
}

int64_t UsableMemoryBytes() {
  const int64_t physical = ParseMemTotal(ReadText("/proc/meminfo"));
  return std::min(physical, CgroupLimit("/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes", physical));
}

DeviceInfo CpuDevice(const CpuFacts& facts) {
  DeviceInfo device;
  device.id = "cpu-0";
  device.kind = facts.kind;
  device.name = facts.model.empty() ? facts.kind : facts.model;
  return device;
}

}  // namespace oneai::fabric
