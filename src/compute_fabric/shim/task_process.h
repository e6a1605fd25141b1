// File: compute_fabric/shim/task_process.h
//
// Starting the task's own process: group, limits, cgroups, output pipe, then execve.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {

struct TaskProcess {
  pid_t pid = 0;       // leads its own process group
  int output_fd = -1;  // non-blocking read end of its stdout and stderr; owned by the caller
};

// Starts `spec` in `task_dir`. The child dies with its starter (PR_SET_PDEATHSIG), gains no
// privileges, dumps no core and reads /dev/null. NotFound: no such program; PermissionDenied: not
// executable; the error names it.
absl::StatusOr<TaskProcess> StartTaskProcess(const std::string& task_dir, const LaunchSpec& spec);

}  // namespace oneai::fabric
