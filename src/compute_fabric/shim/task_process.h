// File: compute_fabric/shim/task_process.h
//
// Starting the task's own process: group, limits, cgroups, output pipe, sandbox, then execve.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {

struct TaskProcess {
  pid_t pid = 0;        // leads its own process group: the program, or the sandbox around it
  int output_fd = -1;   // non-blocking read end of its stdout and stderr; owned by the caller
  int control_fd = -1;  // of the sandbox (sandbox_init.h), owned by the caller; -1: none
};

// Starts `spec` in `task_dir`. The child dies with its starter (PR_SET_PDEATHSIG), gains no
// privileges, dumps no core and reads /dev/null. `before_exec` runs in this process when the child
// exists but does nothing yet: what it writes is there before the task is. NotFound: no such
// program; PermissionDenied: not executable; the error names it. In a sandbox these come later, as
// its report.
absl::StatusOr<TaskProcess> StartTaskProcess(const std::string& task_dir, const LaunchSpec& spec,
                                             const std::function<void(pid_t)>& before_exec);

// To the task, and what is in its process group. A sandbox that is not up yet keeps the signal
// until it is.
void SignalTask(const TaskProcess& process, int signal_number);

}  // namespace oneai::fabric
