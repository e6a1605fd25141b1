// File: compute_fabric/node/task_environment.h
//
// What a task sees: its environment and its program. Pure, except that a program is looked up on
// disk.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compute_fabric/devices/device.h"
#include "compute_fabric/node/task_key.h"

namespace oneai::fabric {

// An assignment as the node uses it; complete, so that nothing else is needed to start the task.
struct TaskOrder {
  TaskKey key;
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  std::vector<std::string> device_ids;
  std::vector<int> ports;
  int64_t grace_ms = 0;
  std::string config_json;
  std::string ca_pem, certificate_pem, private_key_pem;
};

// What is the same for all tasks of this node.
struct NodeFacts {
  std::string name;
  std::string address;     // where tasks listen
  std::string controller;  // "host:port"
  std::vector<DeviceInfo> devices;
  std::map<std::string, std::string> base_env;  // PATH, HOME, LANG, LD_LIBRARY_PATH of the agent
};

// The agent's variables that tasks inherit; everything else of its environment stays with it.
std::map<std::string, std::string> BaseEnvironment(
    const std::map<std::string, std::string>& agent_env);

// The task's whole environment (docs/architecture.md). The folder's own paths are set by the node
// and cannot be overridden; for the rest the order's values win over the node's. OMP_NUM_THREADS
// follows the cores asked for. On a node with GPUs CUDA_VISIBLE_DEVICES names those allocated, or
// none.
std::map<std::string, std::string> TaskEnvironment(const TaskOrder& order, const NodeFacts& node,
                                                   const std::string& task_dir);

// argv[0] without a slash that names a file in `bin_dir` becomes that file; everything else is left
// to PATH.
std::vector<std::string> ResolveProgram(std::vector<std::string> argv, const std::string& bin_dir);

}  // namespace oneai::fabric
