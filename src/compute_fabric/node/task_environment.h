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
// A share of a device that the task was given.
struct DeviceShare {
  std::string id;
  int milli = 1000;          // of 1000
  int64_t memory_bytes = 0;  // of the device's own; 0: all
};

struct TaskOrder {
  TaskKey key;
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  std::vector<std::string> device_ids;
  std::vector<DeviceShare> shares;  // of device_ids; empty: all of each
  std::vector<int> ports;
  int64_t grace_ms = 0;
  std::string config_json;
  std::string ca_pem, certificate_pem, private_key_pem;
  int64_t disk_bytes = 0;     // of the task folder; 0: the node's default
  int64_t processes_max = 0;  // 0: the node's default
};

// What is the same for all tasks of this node.
struct NodeFacts {
  std::string name;
  std::string address;     // where tasks listen
  std::string controller;  // "host:port"
  std::vector<DeviceInfo> devices;
  std::map<std::string, std::string> base_env;  // PATH, HOME, LANG, LD_LIBRARY_PATH of the agent
};

// Whether the task is one of the fabric's own replicas, which may keep things in the node's cache.
// A team's own program gets no folder there: what it wrote would outlive it and be trusted.
bool UsesNodeCache(const TaskOrder& order);

// The agent's variables that tasks inherit; everything else of its environment stays with it.
std::map<std::string, std::string> BaseEnvironment(
    const std::map<std::string, std::string>& agent_env);

// The task's whole environment (docs/architecture.md). The folder's own paths are set by the node
// and cannot be overridden; for the rest the order's values win over the node's. OMP_NUM_THREADS
// follows the cores asked for. On a node with GPUs CUDA_VISIBLE_DEVICES names those allocated, or
// none; a share of a GPU is enforced by NVIDIA's MPS where its daemon runs, and sets
// CUDA_MPS_ACTIVE_THREAD_PERCENTAGE and CUDA_MPS_PINNED_DEVICE_MEM_LIMIT. Shares of any device are
// told in ONEAI_DEVICE_GRANTS: "<id>:<milli>:<bytes>", comma-separated.
// ONEAI_CACHE_DIR is set when `cache_dir` is not empty, and never by the order.
std::map<std::string, std::string> TaskEnvironment(const TaskOrder& order, const NodeFacts& node,
                                                   const std::string& task_dir,
                                                   const std::string& cache_dir = "");

// The device files of what the task was given, and of its driver; none without an NVIDIA GPU.
std::vector<std::string> DeviceNodesOf(const TaskOrder& order, const NodeFacts& node);

// argv[0] without a slash that names a file in `bin_dir` becomes that file; everything else is left
// to PATH.
std::vector<std::string> ResolveProgram(std::vector<std::string> argv, const std::string& bin_dir);

}  // namespace oneai::fabric
