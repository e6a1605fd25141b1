// File: compute_fabric/node/main.cc
//
// oneai-node: reads the flags, discovers the machine, adopts what runs, and starts the agent.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/grpc/channel.h"
#include "base/log/log.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "compute_fabric/devices/asic.h"
#include "compute_fabric/devices/host.h"
#include "compute_fabric/devices/nvidia.h"
#include "compute_fabric/devices/nvidia_health.h"
#include "compute_fabric/node/agent.h"
#include "compute_fabric/node/convert.h"
#include "compute_fabric/node/daemon_flags.h"
#include "compute_fabric/node/isolation.h"

namespace oneai::fabric {
namespace {

std::atomic<bool> g_stop = false;

struct NodeFlags {
  std::string name;
  std::string state_dir;
  std::string controller;
  TlsFiles tls;
  std::string address = "127.0.0.1";
  std::string ports = "20000-20999";
  double cpus = 0;            // 0: all that this process may use
  uint64_t memory_bytes = 0;  // 0: the machine's
  std::string asic_plugin;    // empty: none
  uint32_t asic_devices = 0;  // 0: the plugin's default
  std::vector<std::string> labels;
  std::string log_file;
  int64_t fence_ms = 30'000;
  std::string isolation = "auto";
  std::vector<std::string> hidden, readable, writable, device_nodes;
  uint64_t task_disk_bytes = uint64_t{64} << 30;
  int64_t task_processes = 16'384;
  uint64_t cache_bytes = uint64_t{64} << 30;
  bool cpu_quota = false;
  std::string probe;  // empty: none
  double probe_interval_s = 30;
  double probe_timeout_s = 10;
  bool stop_tasks_on_exit = false;
  bool exit_at_once = false;
};

void AddIsolationFlags(CLI::App& app, NodeFlags& flags) {
  app.add_option("--isolation", flags.isolation,
                 "auto: what works here (namespaces, seccomp, cgroups); required: all of it or no "
                 "start; off: cgroups only")
      ->check(CLI::IsMember({"auto", "required", "off"}));
  app.add_option("--hide", flags.hidden, "no task sees this file or folder; repeatable");
  app.add_option("--readable", flags.readable, "tasks see it although it is hidden or in /tmp");
  app.add_option("--writable", flags.writable, "a shared folder that tasks may write; repeatable");
  app.add_option("--task-device", flags.device_nodes, "a device file for every task; repeatable");
  app.add_option("--task-disk", flags.task_disk_bytes,
                 "size of a task's folder unless its job says otherwise, e.g. 64GiB; 0: no limit")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--task-processes", flags.task_processes,
                 "processes and threads of a task unless its job says otherwise")
      ->check(CLI::Range(16, 4'194'304));
  app.add_flag("--cpu-quota", flags.cpu_quota,
               "cores are a hard limit, also while others are idle");
}

void AddFlags(CLI::App& app, NodeFlags& flags) {
  app.add_option("--name", flags.name, "name of this node, unique in the fabric")->required();
  app.add_option("--state-dir", flags.state_dir, "folder for tasks and their logs")->required();
  app.add_option("--controller", flags.controller, "host:port of the controller")->required();
  app.add_option("--tls-ca", flags.tls.ca, "the fabric's CA certificate")->required();
  app.add_option("--tls-cert", flags.tls.certificate, "certificate spiffe://oneai/node/<name>")
      ->required();
  app.add_option("--tls-key", flags.tls.private_key, "its private key")->required();
  app.add_option("--address", flags.address, "address at which other nodes reach this one");
  app.add_option("--ports", flags.ports, "first-last: TCP ports for tasks");
  app.add_option("--cpus", flags.cpus, "cores to offer (default: all)")->check(CLI::PositiveNumber);
  app.add_option("--memory", flags.memory_bytes, "memory to offer, e.g. 8GiB (default: all)")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--asic-plugin", flags.asic_plugin, "shared library of an inference ASIC");
  app.add_option("--asic-devices", flags.asic_devices,
                 "how many devices an emulator shows; a bound for hardware");
  app.add_option("--label", flags.labels, "key=value, repeatable");
  app.add_option("--log-file", flags.log_file, "log here too");
  app.add_option(
         "--cache-bytes", flags.cache_bytes,
         "disk for packed weights of replicas, each project apart, so that their next start "
         "is quick; e.g. 64GiB, 0: none")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--fence-ms", flags.fence_ms,
                 "tasks stop when this agent has been silent for so long")
      ->check(CLI::Range(1'000, 86'400'000));
  AddIsolationFlags(app, flags);
  app.add_option("--probe", flags.probe,
                 "a command that exits with 0 while the node is fit; split at spaces, no shell");
  app.add_option("--probe-interval", flags.probe_interval_s, "seconds between two probes")
      ->check(CLI::Range(0.1, 86'400.0));
  app.add_option("--probe-timeout", flags.probe_timeout_s, "a probe that takes longer has failed")
      ->check(CLI::Range(0.1, 3'600.0));
  app.add_flag("--stop-tasks-on-exit", flags.stop_tasks_on_exit,
               "on SIGTERM stop all tasks instead of leaving them to the next agent");
  app.add_flag("--exit-at-once", flags.exit_at_once,
               "behave as if SIGTERM had come: with --stop-tasks-on-exit this ends the tasks that "
               "a killed agent left");
}

absl::Status ParseIntoInfo(const NodeFlags& flags, v1::NodeInfo& info) {
  ASSIGN_OR_RETURN(const PortRange ports, ParsePorts(flags.ports));
  info.set_port_first(ports.first);
  info.set_port_last(ports.last);
  std::map<std::string, std::string> labels;
  RETURN_IF_ERROR(ParsePairs("--label", flags.labels, labels));
  for (const auto& [name, value] : labels) (*info.mutable_labels())[name] = value;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DeviceInfo>> ScanDevices(const NodeFlags& flags, const CpuFacts& cpu) {
  std::vector<DeviceInfo> devices = {CpuDevice(cpu)};
  DeviceScan nvidia = ScanNvidia();
  for (const std::string& remark : nvidia.remarks) Log::Warning("nvidia", {{"remark", remark}});
  std::move(nvidia.devices.begin(), nvidia.devices.end(), std::back_inserter(devices));
  if (!flags.asic_plugin.empty()) {
    ASSIGN_OR_RETURN(std::vector<DeviceInfo> asics,
                     ScanAsicPlugin(flags.asic_plugin, flags.asic_devices));
    std::move(asics.begin(), asics.end(), std::back_inserter(devices));
  }
  return devices;
}

absl::StatusOr<v1::NodeInfo> DescribeNode(const NodeFlags& flags,
                                          const std::vector<DeviceInfo>& devices,
                                          const CpuFacts& cpu, const Isolation& isolation) {
  v1::NodeInfo info;
  info.set_name(flags.name);
  info.set_address(flags.address);
  info.set_cpu_milli(flags.cpus > 0 ? static_cast<int64_t>(flags.cpus * 1000) : UsableCpuMilli());
  info.set_memory_bytes(flags.memory_bytes > 0 ? static_cast<int64_t>(flags.memory_bytes)
                                               : UsableMemoryBytes());
  info.set_agent_version("0.1.0");
  (*info.mutable_labels())["arch"] = HostArchitecture();
  if (!cpu.model.empty()) (*info.mutable_labels())["cpu"] = cpu.model;
  RETURN_IF_ERROR(ParseIntoInfo(flags, info));
  for (const DeviceInfo& device : devices) *info.add_devices() = ToDevice(device);
  for (const std::string& limit : isolation.enforced()) info.add_enforced(limit);
  for (const std::string& limit : isolation.not_enforced()) info.add_not_enforced(limit);
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(flags.state_dir, error);
  if (!error) info.set_disk_bytes(static_cast<int64_t>(space.capacity));
  info.set_launcher("agent");
  return info;
}

absl::StatusOr<Isolation> DetectIsolation(const NodeFlags& flags,
                                          const std::filesystem::path& state_dir) {
  IsolationOptions options;
  ASSIGN_OR_RETURN(options.mode, ParseIsolationMode(flags.isolation));
  options.node_name = flags.name;
  const std::map<std::string, std::string> env = CurrentEnvironment();
  if (const auto path = env.find("PATH"); path != env.end()) options.path = path->second;
  options.disk_bytes = static_cast<int64_t>(flags.task_disk_bytes);
  options.processes_max = flags.task_processes;
  options.cpu_hard = flags.cpu_quota;
  options.sandbox.state_dir = std::filesystem::canonical(state_dir).string();
  options.sandbox.bin_dir = ExecutableDir();
  options.sandbox.hidden = flags.hidden;
  options.sandbox.hidden.push_back(flags.tls.private_key);
  options.sandbox.readable = flags.readable;
  options.sandbox.writable = flags.writable;
  options.sandbox.device_nodes = flags.device_nodes;
  return Isolation::Detect(std::move(options));
}

// What watches the devices of this machine, besides the list that was made at the start.
std::vector<HealthMonitor::DeviceSource> DeviceSources(const NodeFlags& flags,
                                                       const std::vector<DeviceInfo>& devices) {
  std::vector<HealthMonitor::DeviceSource> sources;
  std::map<std::string, std::string> broken_at_start;
  for (const DeviceInfo& device : devices) {
    // ASICs are asked again and may recover.
    if (!device.healthy && !absl::StartsWith(device.id, "asic-")) {
      broken_at_start[device.id] = device.health_message;
    }
  }
  if (!broken_at_start.empty()) sources.push_back([broken_at_start] { return broken_at_start; });
  if (std::shared_ptr<NvidiaHealth> nvidia = NvidiaHealth::Open()) {
    sources.push_back([nvidia] { return nvidia->Poll(); });
  }
  if (!flags.asic_plugin.empty()) {
    if (std::shared_ptr<AsicHealth> asic =
            AsicHealth::Open(flags.asic_plugin, flags.asic_devices)) {
      sources.push_back([asic] { return asic->Poll(); });
    }
  }
  return sources;
}

ProbeOptions ProbeOf(const NodeFlags& flags, const std::filesystem::path& state_dir) {
  ProbeOptions probe;
  probe.argv = absl::StrSplit(flags.probe, ' ', absl::SkipEmpty());
  probe.interval = absl::Seconds(flags.probe_interval_s);
  probe.timeout = absl::Seconds(flags.probe_timeout_s);
  probe.output_file = (state_dir / "probe.log").string();
  return probe;
}

absl::Status RunNode(const NodeFlags& flags) {
  const std::filesystem::path state_dir = std::filesystem::absolute(flags.state_dir);
  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  ASSIGN_OR_RETURN(const TlsCredentials tls, LoadTlsCredentials(flags.tls));
  ASSIGN_OR_RETURN(const std::unique_ptr<StateLock> lock, StateLock::Take(state_dir));
  // Forks, so before the first thread.
  ASSIGN_OR_RETURN(const Isolation isolation, DetectIsolation(flags, state_dir));
  const CpuFacts cpu = ReadCpuFacts();
  ASSIGN_OR_RETURN(std::vector<DeviceInfo> devices, ScanDevices(flags, cpu));
  ASSIGN_OR_RETURN(v1::NodeInfo info, DescribeNode(flags, devices, cpu, isolation));

  HealthMonitor health(DeviceSources(flags, devices), ProbeOf(flags, state_dir));
  ASSIGN_OR_RETURN(EpochFence epoch, EpochFence::Open(state_dir / "epoch"));
  AgentLease lease(state_dir / "lease");
  lease.Touch(absl::Now());
  TaskTableOptions options;
  options.state_dir = state_dir;
  options.bin_dir = ExecutableDir();
  options.lease_file = lease.file().string();
  options.fence = absl::Milliseconds(flags.fence_ms);
  options.cache_bytes_max = static_cast<int64_t>(flags.cache_bytes);
  options.node = {flags.name, flags.address, flags.controller, std::move(devices),
                  BaseEnvironment(CurrentEnvironment())};
  LocalShims shims(options.bin_dir + "/oneai-shim", options.node.base_env);
  ASSIGN_OR_RETURN(const std::unique_ptr<TaskTable> tasks,
                   TaskTable::Open(std::move(options), &shims, &isolation));

  const std::shared_ptr<grpc::Channel> channel = NewChannel(flags.controller, tls);
  LogShipper logs(channel);
  logs.Start();
  health.Start();
  Agent agent(std::move(info), channel, tasks.get(), &epoch, &lease, &logs, &health);
  Log::Info("node agent started", {{"node", flags.name}, {"controller", flags.controller}});
  agent.Run(g_stop, flags.stop_tasks_on_exit ? ExitPolicy::kStopTasks : ExitPolicy::kLeaveTasks);
  health.Stop();
  logs.Stop();
  isolation.RemoveEmptyGroups();
  Log::Info("node agent stopped", {{"node", flags.name}});
  return absl::OkStatus();
}

}  // namespace
}  // namespace oneai::fabric

int main(int argc, char** argv) {
  using oneai::Log;
  oneai::fabric::NodeFlags flags;
  CLI::App app("oneai-node: runs and watches the tasks of one machine");
  oneai::fabric::AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  oneai::fabric::g_stop = flags.exit_at_once;
  oneai::fabric::StopOnSignals(&oneai::fabric::g_stop);
  absl::Status status = Log::Start({.component = "node", .file = flags.log_file});
  if (status.ok()) status = oneai::fabric::RunNode(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "oneai-node: %s\n", status.ToString().c_str());
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? 2 : 1;
}
