// File: base/process/child_process.h
//
// Starting a program in its own process group. No shell: argv goes to execve as it is.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace oneai {

struct ChildOptions {
  std::vector<std::string> argv;           // argv[0]: path, or a name looked up in PATH
  std::map<std::string, std::string> env;  // the whole environment of the child
  std::string working_dir;                 // empty: inherit
  std::string output_file;                 // stdout and stderr are appended here; empty: inherit
  int stdout_fd = -1;                      // the caller's; goes before output_file
  int stderr_fd = -1;
  bool new_session = false;  // setsid: survives its starter
  // PR_SET_PDEATHSIG SIGKILL. Linux ties this to the *thread* that spawned: use one that lives as
  // long as the process.
  bool die_with_parent = false;
};

// pid of the child, which leads its own process group. NotFound: no such program; the error of
// execve is reported, not lost. The child gets default signal dispositions, no signal blocked,
// /dev/null as stdin, and no other descriptor. The caller reaps it.
absl::StatusOr<pid_t> SpawnChild(const ChildOptions& options);

// The current environment as a map.
std::map<std::string, std::string> CurrentEnvironment();

// Folder of the running executable.
std::string ExecutableDir();

}  // namespace oneai
