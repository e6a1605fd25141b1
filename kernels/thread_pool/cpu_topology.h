// Which processors this process may run on, and how they share cores and memory.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::kernels {

// A logical processor. `core` is the lowest logical processor of the same physical core; `node` its
// NUMA node.
struct LogicalCpu {
  int id = 0;
  int core = 0;
  int node = 0;
};

// Those in the affinity mask, ordered by node and then by id, so that neighbouring threads of a
// pool share memory.
struct CpuTopology {
  std::vector<LogicalCpu> cpus;
  int num_nodes = 1;
  int quota = 0;  // processors' worth of time that the cgroup grants, rounded up; 0: no limit

  // One logical processor of every physical core, in the same order.
  std::vector<int> Cores() const;
  // How many threads keep this process's share of the machine busy: the cores, or the quota if that
  // is less. A second thread on a core (SMT) shares its multipliers and its bandwidth and only adds
  // waiting. At least 1.
  int DefaultThreads() const;
};

// Reads the calling thread's affinity mask and Linux's files below `root`, which is "" outside of
// tests. What cannot be read is taken as one node and one core per processor.
CpuTopology ReadCpuTopology(const std::string& root = "");
// The same for the given processors.
CpuTopology ReadCpuTopologyOf(const std::vector<int>& allowed, const std::string& root);

// Parses "0-3,8,10-11". Anything malformed, or a processor above 65535, ends the list.
std::vector<int> ParseCpuList(absl::string_view text);

// Limits the calling thread to processor `cpu`. False: the system refused, nothing changed.
bool PinThisThread(int cpu);

}  // namespace oneai::kernels
