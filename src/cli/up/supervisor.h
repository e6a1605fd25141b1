// File: cli/up/supervisor.h
//
// Keeps the processes of a one-machine fabric running: starts them in order, restarts one that
// dies, adopts those of a supervisor that was killed, stops them in reverse order. What it manages
// is in <dir>/up.json; that it manages is a lock on <dir>/up.lock.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/up/component_process.h"
#include "cli/up/layout.h"

namespace oneai::cli {

// up.json
struct UpState {
  pid_t supervisor = 0;
  bool ready = false;
  std::vector<RunningComponent> components;  // those that run
  std::vector<Component> plan;               // all, as they are started
};

absl::StatusOr<UpState> ReadUpState(const std::filesystem::path& dir);  // NotFound

// True while a supervisor holds the folder.
bool IsSupervised(const std::filesystem::path& dir);

// Runs until SIGTERM or SIGINT, then stops everything. FailedPrecondition: the folder has a
// supervisor already. Unavailable: a component cannot start (port in use, bad state): its last
// words are in the message, and everything started is stopped again. When parts of the fabric run
// already they are adopted, and what cannot start is tried again instead: one bad component must
// not end the jobs of the others.
absl::Status Supervise(const FabricPlan& plan);

// Stops the fabric of `dir` and its tasks, supervised or not; waits up to a minute for a
// supervisor. NotFound: nothing runs there.
absl::Status StopFabric(const std::filesystem::path& dir);

}  // namespace oneai::cli
