// File: compute_fabric/node/task_environment.cc
#include "compute_fabric/node/task_environment.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {
namespace {

const DeviceInfo* FindDevice(const NodeFacts& node, const std::string& id) {
  for (const DeviceInfo& device : node.devices) {
    if (device.id == id) return &device;
  }
  return nullptr;
}

// What the task may use of this node's devices.
void AddDevices(const TaskOrder& order, const NodeFacts& node,
                std::map<std::string, std::string>& env) {
  if (!order.device_ids.empty()) {
    env.insert({"ONEAI_DEVICE_IDS", absl::StrJoin(order.device_ids, ",")});
    if (const DeviceInfo* device = FindDevice(node, order.device_ids[0])) {
      env.insert({"ONEAI_DEVICE_KIND", device->kind});
    }
  }
  const bool has_gpu = std::any_of(node.devices.begin(), node.devices.end(),
                                   [](const DeviceInfo& d) { return !d.uuid.empty(); });
  if (!has_gpu) return;
  std::vector<std::string> uuids;
  for (const std::string& id : order.device_ids) {
    const DeviceInfo* device = FindDevice(node, id);
    if (device != nullptr && !device->uuid.empty()) uuids.push_back(device->uuid);
  }
  env["CUDA_VISIBLE_DEVICES"] = absl::StrJoin(uuids, ",");
}

// What is taken of each device, for the task and for CUDA's MPS.
void AddShares(const TaskOrder& order, const NodeFacts& node,
               std::map<std::string, std::string>& env) {
  if (order.shares.empty()) return;
  std::vector<std::string> grants;
  for (const DeviceShare& share : order.shares) {
    grants.push_back(absl::StrCat(share.id, ":", share.milli, ":", share.memory_bytes));
  }
  env["ONEAI_DEVICE_GRANTS"] = absl::StrJoin(grants, ",");
  // A share is of a single device.
  const DeviceShare& share = order.shares.front();
  const DeviceInfo* device = FindDevice(node, share.id);
  if (device == nullptr || device->uuid.empty() || share.milli >= 1000) return;
  env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = absl::StrCat(std::max(1, share.milli / 10));
  if (share.memory_bytes > 0) {
    // Device 0 is the first that the task sees.
    env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] =
        absl::StrCat("0=", std::max<int64_t>(1, share.memory_bytes >> 20), "M");
  }
}

}  // namespace

bool UsesNodeCache(const TaskOrder& order) {
  return !order.command.empty() && order.command[0] == "oneai-serve";
}

std::map<std::string, std::string> BaseEnvironment(
    const std::map<std::string, std::string>& agent_env) {
  std::map<std::string, std::string> base = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", "/"},
      {"LANG", "C.UTF-8"}};
  for (const char* name : {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH"}) {
    const auto it = agent_env.find(name);
    if (it != agent_env.end()) base[name] = it->second;
  }
  return base;
}

std::map<std::string, std::string> TaskEnvironment(const TaskOrder& order, const NodeFacts& node,
                                                   const std::string& task_dir,
                                                   const std::string& cache_dir) {
  std::map<std::string, std::string> env = order.env;
  env.erase("ONEAI_CACHE_DIR");
  if (!cache_dir.empty()) env["ONEAI_CACHE_DIR"] = cache_dir;
  env["ONEAI_TASK_DIR"] = task_dir;
  env["ONEAI_METRICS_FILE"] = absl::StrCat(task_dir, "/", kMetricsFile);
  env["ONEAI_READY_FILE"] = absl::StrCat(task_dir, "/", kReadyFile);
  for (size_t i = 0; i < order.ports.size(); ++i) {
    env[absl::StrCat("ONEAI_PORT_", i)] = absl::StrCat(order.ports[i]);
  }
  AddDevices(order, node, env);
  AddShares(order, node, env);
  // insert() keeps what the order already says.
  env.insert({"ONEAI_JOB_ID", order.key.job_id});
  env.insert({"ONEAI_ATTEMPT", absl::StrCat(order.key.attempt)});
  env.insert({"ONEAI_NODE", node.name});
  env.insert({"ONEAI_ADDRESS", node.address});
  env.insert({"ONEAI_CONTROLLER", node.controller});
  env.insert({"OMP_NUM_THREADS", absl::StrCat(std::max<int64_t>(1, order.cpu_milli / 1000))});
  env.insert(node.base_env.begin(), node.base_env.end());
  return env;
}

std::vector<std::string> DeviceNodesOf(const TaskOrder& order, const NodeFacts& node) {
  std::vector<std::string> nodes;
  for (const std::string& id : order.device_ids) {
    const DeviceInfo* device = FindDevice(node, id);
    if (device != nullptr && !device->device_node.empty()) nodes.push_back(device->device_node);
  }
  if (nodes.empty()) return nodes;
  for (const char* driver :
       {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset",
        "/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels", "/dev/infiniband"}) {
    nodes.push_back(driver);
  }
  return nodes;
}

std::vector<std::string> ResolveProgram(std::vector<std::string> argv, const std::string& bin_dir) {
  if (argv.empty() || argv[0].empty() || absl::StrContains(argv[0], '/')) return argv;
  const std::filesystem::path sibling = std::filesystem::path(bin_dir) / argv[0];
  std::error_code error;
  if (std::filesystem::is_regular_file(sibling, error)) argv[0] = sibling.string();
  return argv;
}

}  // namespace oneai::fabric
