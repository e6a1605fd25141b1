// File: compute_fabric/shim/seccomp_filter.h
//
// What a task may not ask the kernel for, whoever it runs as: system calls that change the machine
// or leave the task's own namespaces. A refused call fails with EPERM, as it would for a user
// without rights, so that programs that try and fall back go on.
#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::fabric {

enum class SeccompMode {
  kOff,
  // The task has a process namespace of its own: it may trace (debug) its own processes, and cannot
  // see others.
  kOwnProcesses,
  // It sees every process of the machine: tracing and reading their memory are refused too.
  kAllProcesses,
};
absl::string_view SeccompModeName(SeccompMode mode);  // "off", "own-processes", "all-processes"
// InvalidArgument.
absl::StatusOr<SeccompMode> ParseSeccompMode(absl::string_view name);

// The names that `mode` refuses; sorted. Those that this machine's architecture does not have are
// left out of its filter.
std::vector<std::string> DeniedSystemCalls(SeccompMode mode);

// The filter as a program for the kernel, built by libseccomp; empty for kOff. Foreign
// architectures' calls (32-bit on a 64-bit machine) are refused as a whole. Unavailable.
absl::StatusOr<std::vector<sock_filter>> BuildSeccompProgram(SeccompMode mode);

// Installs the program for this process and its children, for good. Needs no-new-privileges or
// CAP_SYS_ADMIN. Async-signal-safe. 0, or the errno. An empty program is none.
int InstallSeccompProgram(const std::vector<sock_filter>& program);

// This kernel has seccomp filters.
bool KernelHasSeccomp();

}  // namespace oneai::fabric
