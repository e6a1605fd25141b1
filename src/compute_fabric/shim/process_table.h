// File: compute_fabric/shim/process_table.h
//
// Reading /proc: who is whose child, and ending whole families of processes. Linux only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::fabric {

// The fields of /proc/<pid>/stat in use (proc(5)).
struct ProcessStat {
  pid_t pid = 0;
  char state = '?';
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  uint64_t start_time = 0;  // in ticks since boot
};

// Parses one stat line; the name in it may hold spaces and parentheses. nullopt: malformed.
std::optional<ProcessStat> ParseProcessStat(absl::string_view text);

// nullopt: no such process.
std::optional<ProcessStat> ReadProcessStat(pid_t pid);

// Every process of the machine that this one can see. Costs one small read per process.
std::vector<ProcessStat> ReadAllProcesses();

// Children, grandchildren and so on of `ancestor` in `processes`, without itself. Pure.
std::vector<pid_t> DescendantsOf(pid_t ancestor, const std::vector<ProcessStat>& processes);

// SIGKILL to each process listed in <cgroup>/cgroup.procs of each folder.
void KillCgroups(const std::vector<std::string>& cgroups);

// SIGKILL to every process whose session is `session`. The caller has made sure that the session is
// not a later one.
void KillSession(pid_t session);

}  // namespace oneai::fabric
