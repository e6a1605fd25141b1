// File: cli/up/layout.h
//
// The folder of a one-machine fabric and what runs in it (docs/architecture.md). Computing the plan
// touches nothing; PrepareFolder makes folders and credentials.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/session.h"

namespace oneai::cli {

struct UpOptions {
  std::filesystem::path dir;
  int port_base = 7400;  // controller gRPC (with ha +0..2, etcd +20..32); web +80, gateway gRPC
                         // +100, gateway HTTP +180, tasks from +1000
  int num_cpu_nodes = 2;
  int num_asic_nodes = 1;    // each with one emulated inference ASIC
  bool ha = false;           // three controllers over three members of etcd
  double cpus_per_node = 0;  // 0: this machine's cores, which the nodes of one machine share
};

// One process of the fabric.
struct Component {
  std::string name;  // "controller", "node-a", "gateway"
  std::vector<std::string> argv;
  std::filesystem::path log;             // its stdout and stderr
  std::filesystem::path endpoints_file;  // written by it when it serves; empty for nodes
  // Ends what the component leaves running when it is killed; empty: it leaves nothing.
  std::vector<std::string> cleanup_argv = {};
};

struct FabricPlan {
  std::filesystem::path dir;
  ClientConfig client;
  std::vector<Component> components;  // in the order of starting
  bool ha = false;
  size_t num_nodes = 0;
};

// InvalidArgument: ports outside 1024..65535, no nodes. FailedPrecondition: ha without etcd.
absl::StatusOr<FabricPlan> PlanFabric(const UpOptions& options,
                                      const std::filesystem::path& bin_dir);

// Makes folders (mode 0700), the CA and every component's certificate when they are absent or
// expire within a week. FailedPrecondition: the folder's fabric is ha and the plan is not, or the
// other way round.
absl::Status PrepareFolder(const FabricPlan& plan);

}  // namespace oneai::cli
