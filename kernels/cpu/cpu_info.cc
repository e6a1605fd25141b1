#include "kernels/cpu/cpu_info.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/cpu/cpu_features.h"

namespace oneai::kernels {
namespace {

constexpr absl::string_view kIsaNames[] = {"reference", "avx2", "avx512", "amx"};

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string ModelName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.size() == 2 && absl::StartsWith(parts[0], "model name")) {
      return std::string(absl::StripAsciiWhitespace(parts[1]));
    }
  }
  return "";
}

// "48K", "2048K", "32M" as sysfs writes cache sizes.
int64_t ParseCacheSize(absl::string_view text) {
  int64_t unit = 1;
  if (absl::ConsumeSuffix(&text, "K")) unit = 1024;
  if (absl::ConsumeSuffix(&text, "M")) unit = 1024 * 1024;
  int64_t value = 0;
  return absl::SimpleAtoi(text, &value) ? value * unit : 0;
}

void ReadCaches(CpuInfo& info) {
  for (int index = 0; index < 8; ++index) {
    const std::string dir = absl::StrCat("/sys/devices/system/cpu/cpu0/cache/index", index, "/");
    const std::string level = FirstLine(dir + "level");
    if (level.empty()) return;
    const int64_t bytes = ParseCacheSize(FirstLine(dir + "size"));
    const bool holds_data = FirstLine(dir + "type") != "Instruction";
    if (level == "1" && holds_data) info.l1d_bytes = bytes;
    if (level == "2") info.l2_bytes = bytes;
    if (level == "3") info.l3_bytes = bytes;
  }
}

int CountCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int64_t CgroupMemoryLimit() {
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t bytes = 0;
    if (absl::SimpleAtoi(FirstLine(path), &bytes) && bytes > 0) return bytes;
  }
  return 0;
}

int CountNumaNodes() {
  int count = 0;
  while (access(absl::StrCat("/sys/devices/system/node/node", count).c_str(), F_OK) == 0) ++count;
  return count;
}

CpuInfo Probe() {
  CpuInfo info;
  DetectFeatures(info);
  info.model_name = ModelName();
  info.num_cpus = CountCpus();
  info.memory_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const int64_t limit = CgroupMemoryLimit();
  info.memory_limit_bytes = limit > 0 ? std::min(limit, info.memory_bytes) : info.memory_bytes;
  ReadCaches(info);
  info.num_numa_nodes = CountNumaNodes();
  return info;
}

// The limit on the instruction set: -1 until set or first read, then fixed while kernels run.
std::atomic<int> max_isa{-1};
std::atomic<bool> max_isa_read{false};

}  // namespace

absl::string_view IsaName(CpuIsa isa) { return kIsaNames[static_cast<int>(isa)]; }

absl::StatusOr<CpuIsa> ParseIsa(absl::string_view name) {
  for (size_t i = 0; i < std::size(kIsaNames); ++i) {
    if (kIsaNames[i] == name) return static_cast<CpuIsa>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown instruction set '", name,
                                                 "': use one of ", absl::StrJoin(kIsaNames, ", ")));
}

const CpuInfo& GetCpuInfo() {
  static const CpuInfo info = Probe();
  return info;
}

std::vector<std::string> FeatureNames(const CpuFeatures& f) {
  std::vector<std::string> names;
  const std::pair<bool, const char*> all[] = {{f.avx2, "avx2"},
                                              {f.avx512, "avx512"},
                                              {f.avx512_bf16, "avx512_bf16"},
                                              {f.avx512_vnni, "avx512_vnni"},
                                              {f.avx512_vbmi, "avx512_vbmi"},
                                              {f.amx_bf16, "amx_bf16"},
                                              {f.amx_int8, "amx_int8"},
                                              {f.neon_bf16, "neon_bf16"},
                                              {f.neon_i8mm, "neon_i8mm"}};
  for (const auto& [present, name] : all) {
    if (present) names.emplace_back(name);
  }
  return names;
}

CpuIsa SupportedIsa() {
  const CpuFeatures& f = GetCpuInfo().features;
  if (f.amx_bf16 && f.avx512) return CpuIsa::kAmx;
  if (f.avx512) return CpuIsa::kAvx512;
  if (f.avx2) return CpuIsa::kAvx2;
  return CpuIsa::kReference;
}

absl::Status SetMaxIsa(CpuIsa isa) {
  if (isa > SupportedIsa()) {
    return absl::InvalidArgumentError(absl::StrCat("this processor has no ", IsaName(isa),
                                                   ": the highest level is ",
                                                   IsaName(SupportedIsa())));
  }
  if (max_isa_read.load()) {
    return absl::FailedPreconditionError(
        "kernels were already picked: set the instruction set before the first kernel runs");
  }
  max_isa.store(static_cast<int>(isa));
  return absl::OkStatus();
}

CpuIsa MaxIsa() {
  max_isa_read.store(true);
  const int limit = max_isa.load();
  return limit < 0 ? SupportedIsa() : static_cast<CpuIsa>(limit);
}

}  // namespace oneai::kernels
