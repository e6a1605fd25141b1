// File: compute_fabric/shim/sandbox_init.h
//
// Process 1 inside a task's sandbox, and what the shim outside hears from it.
//
//   shim -> bwrap -> this (seccomp, reaping) -> the task's program
//
// bwrap passes on no signals and folds "killed by 9" into "exited with 137"; this process forwards
// signals to the task and reports exactly how it ended, over one socket that it shares with the
// shim. It reads the task's environment from a descriptor, so that nothing in there (LD_PRELOAD)
// acts before the sandbox is closed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/shim/seccomp_filter.h"

namespace oneai::fabric {

// What process 1 reports, once.
struct SandboxReport {
  enum Kind : int32_t { kNotStarted = 1, kEnded = 2 };
  int32_t kind = kEnded;
  int32_t value = 0;  // kNotStarted: the errno of execve; kEnded: the wait status
};

// The shim's side: a control socket and the environment in a memory file. Both are inherited by
// whoever is started between Create and the end of the child's setup.
struct SandboxChannel {
  int control = -1;       // the shim's end, non-blocking, owned by the caller
  int task_control = -1;  // the other end; close it after the fork
  int environment = -1;   // likewise
};
absl::StatusOr<SandboxChannel> OpenSandboxChannel(const std::map<std::string, std::string>& env);

// Asks process 1 to send `signal_number` to the task. False: it is gone.
bool SendToSandbox(int control, int signal_number);
// The report, when it has come.
std::optional<SandboxReport> ReadSandboxReport(int control);

// Arguments for the shim's own program to become process 1 and start `argv`.
std::vector<std::string> SandboxInitArguments(const std::string& shim_program,
                                              const SandboxChannel& channel, SeccompMode seccomp,
                                              const std::vector<std::string>& argv);
inline constexpr char kSandboxInitFlag[] = "--init";

// main() of process 1; argv as made above. Returns the exit status of the process.
int RunSandboxInit(int argc, char** argv);

}  // namespace oneai::fabric
