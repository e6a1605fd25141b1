// File: compute_fabric/node/sandbox.h
//
// The namespaces around a task, as arguments of bubblewrap (bwrap): pure.
//
//   processes   its own: it sees and signals nobody else's; all of them end with it
//   IPC         its own; /dev/shm is shared by the tasks of one attempt of a job on this node
//   mounts      everything read only, except the task's folder, its artifacts and a /tmp of its own
//               (inside the task's folder, so that its limit counts); the agent's state, /run and
//               what `hidden` names are not there at all
//   devices     null, zero, random, tty, and the accelerators it was given
//   rights      no capabilities
//   network     the node's: ranks meet on its addresses
#pragma once

#include <string>
#include <vector>

namespace oneai::fabric {

// The same for all tasks of this node.
struct SandboxOptions {
  std::string bwrap;  // its path; empty: no sandbox
  std::string state_dir;
  std::string bin_dir;
  std::vector<std::string> hidden;        // files and folders that no task may see
  std::vector<std::string> readable;      // shown although /tmp or `hidden` covers them
  std::vector<std::string> writable;      // shared folders that tasks may write
  std::vector<std::string> device_nodes;  // for every task: /dev/infiniband, ...
};

struct SandboxedTask {
  std::string task_dir;
  std::string tmp_dir;       // becomes /tmp
  std::string shm_dir;       // becomes /dev/shm; empty: one of its own
  std::string artifact_dir;  // writable; empty: none
  std::string registry_dir;  // read only; empty: none
  std::string cache_dir;     // writable; empty: none
  std::vector<std::string> device_nodes;
};

// The command in front of the program; without the closing "--".
std::vector<std::string> SandboxCommand(const SandboxOptions& options, const SandboxedTask& task);

}  // namespace oneai::fabric
