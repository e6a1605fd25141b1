// File: compute_fabric/shim/supervisor.h
//
// Follows one task from its start to its exit record. It needs nobody: the agent may die, be
// replaced or hang.
//
//   running --SIGTERM to the shim, or lease silent--> stopping --grace over--> killing
//      \------------- the task's process exits -------------------------------/
//   killing: SIGKILL to all descendants and to the cgroups until none is left, then exit.json.
#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace oneai::fabric {

// Runs the task in `task_dir` and returns when exit.json is durable. The caller is single-threaded
// and leads its own session; signal handling and child reaping of the whole process belong to this
// call. FailedPrecondition: another shim holds the task, or it has already ended.
absl::Status SuperviseTask(const std::filesystem::path& task_dir);

}  // namespace oneai::fabric
