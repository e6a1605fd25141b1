// Sources: Linux Documentation/ABI/stable/sysfs-devices-system-cpu and -node;
// Documentation/admin-guide/cgroup-v2.rst (cpu.max).
#include "kernels/thread_pool/cpu_topology.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <thread>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai::kernels {
namespace {

constexpr int kCpuMax = 65535;
constexpr int kNodesMax = 1024;

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int CoreOf(int cpu, const std::string& root) {
  const std::vector<int> siblings = ParseCpuList(FirstLine(
      absl::StrCat(root, "/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list")));
  return siblings.empty() ? cpu : *std::min_element(siblings.begin(), siblings.end());
}

// "max 100000" or "200000 100000": microseconds granted per period.
int CpuQuota(const std::string& root) {
  const std::vector<std::string> words =
      absl::StrSplit(FirstLine(root + "/sys/fs/cgroup/cpu.max"), ' ', absl::SkipEmpty());
  int64_t granted = 0, period = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &granted) ||
      !absl::SimpleAtoi(words[1], &period) || granted <= 0 || period <= 0) {
    return 0;
  }
  return static_cast<int>(std::min<int64_t>((granted + period - 1) / period, kCpuMax));
}

std::vector<int> AffinityMask() {
  std::vector<int> allowed;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) allowed.push_back(cpu);
    }
  }
  if (allowed.empty()) {  // more processors than the mask has room for
    const int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    for (int cpu = 0; cpu < count; ++cpu) allowed.push_back(cpu);
  }
  return allowed;
}

}  // namespace

std::vector<int> ParseCpuList(absl::string_view text) {
  std::vector<int> cpus;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    int first = 0, last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first || last > kCpuMax) {
      return cpus;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<int> CpuTopology::Cores() const {
  std::vector<int> ids, seen;
  for (const LogicalCpu& cpu : cpus) {
    if (std::find(seen.begin(), seen.end(), cpu.core) != seen.end()) continue;
    seen.push_back(cpu.core);
    ids.push_back(cpu.id);
  }
  return ids;
}

int CpuTopology::DefaultThreads() const {
  const int cores = static_cast<int>(Cores().size());
  return std::max(1, quota > 0 ? std::min(cores, quota) : cores);
}

CpuTopology ReadCpuTopologyOf(const std::vector<int>& allowed, const std::string& root) {
  CpuTopology topology;
  for (const int cpu : allowed) topology.cpus.push_back({.id = cpu, .core = CoreOf(cpu, root)});
  // Node numbers may have holes, and a node may hold memory only.
  for (const int node : ParseCpuList(FirstLine(root + "/sys/devices/system/node/online"))) {
    if (node >= kNodesMax) break;
    topology.num_nodes = std::max(topology.num_nodes, node + 1);
    const std::vector<int> members = ParseCpuList(
        FirstLine(absl::StrCat(root, "/sys/devices/system/node/node", node, "/cpulist")));
    for (LogicalCpu& cpu : topology.cpus) {
      if (std::find(members.begin(), members.end(), cpu.id) != members.end()) cpu.node = node;
    }
  }
  std::sort(topology.cpus.begin(), topology.cpus.end(),
            [](const LogicalCpu& a, const LogicalCpu& b) {
              return std::tie(a.node, a.id) < std::tie(b.node, b.id);
            });
  topology.quota = CpuQuota(root);
  return topology;
}

CpuTopology ReadCpuTopology(const std::string& root) {
  return ReadCpuTopologyOf(AffinityMask(), root);
}

bool PinThisThread(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return false;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace oneai::kernels
