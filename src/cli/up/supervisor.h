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
#include "cli/up/layout.h"

namespace oneai::cli {

struct RunningComponent {
  std::string name;
  pid_t pid = 0;
  int64_t start_ticks =
      0;  // /proc/<pid>/stat field 22: tells a process from a later one with the same pid
};

// up.json
struct UpState {
  pid_t supervisor = 0;
  bool ready = false;
  std::vector<RunningComponent> components;
};

absl::StatusOr<UpState> ReadUpState(const std::filesystem::path& dir);  // NotFound
bool IsAlive(const RunningComponent& component);

// True while a supervisor holds the folder.
bool IsSupervised(const std::filesystem::path& dir);

// Runs until SIGTERM or SIGINT, then stops everything. FailedPrecondition: the folder has a
// supervisor already. Unavailable: a component cannot start (port in use, bad state): its last
// words are in the message, and everything started is stopped again.
absl::Status Supervise(const FabricPlan& plan);

// Stops the fabric of `dir`, supervised or not; waits up to a minute. NotFound: nothing runs there.
absl::Status StopFabric(const std::filesystem::path& dir);

}  // namespace oneai::cli
