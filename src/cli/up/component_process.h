// File: cli/up/component_process.h
//
// The process of a component as the kernel shows it. Files about processes can be older than the
// processes; /proc cannot.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "cli/up/layout.h"

namespace oneai::cli {

struct RunningComponent {
  std::string name;
  pid_t pid = 0;  // 0: none
  int64_t start_ticks =
      0;  // /proc/<pid>/stat field 22: tells a process from a later one with the same pid
};

// `pid` now, as a component; not alive when there is no such process.
RunningComponent IdentifyProcess(const std::string& name, pid_t pid);

// False for a zombie: it only waits for its parent.
bool IsAlive(const RunningComponent& component);

// The living process of this component, known by its program and its --state-dir; pid 0 when there
// is none. Finds one that nobody has written down: its supervisor may have died between starting it
// and saying so.
RunningComponent FindProcess(const Component& component);

}  // namespace oneai::cli
