// File: compute_fabric/shim/main.cc
//
// oneai-shim --task-dir DIR: one per task, outlives the agent. Exit status 0: exit.json is written.
// oneai-shim --init ...: process 1 inside a task's sandbox, started by the former.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "compute_fabric/shim/sandbox_init.h"
#include "compute_fabric/shim/supervisor.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], oneai::fabric::kSandboxInitFlag) == 0) {
    return oneai::fabric::RunSandboxInit(argc, argv);
  }
  if (argc != 3 || std::strcmp(argv[1], "--task-dir") != 0) {
    std::fprintf(stderr, "usage: oneai-shim --task-dir DIR   (started by oneai-node)\n");
    return 2;
  }
  setsid();  // Fails only where the starter has already made this process a session leader.
  const absl::Status status = oneai::fabric::SuperviseTask(argv[2]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "oneai-shim: %s\n", status.ToString().c_str());
  return 1;
}
