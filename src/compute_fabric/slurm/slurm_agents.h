// File: compute_fabric/slurm/slurm_agents.h
//
// An agent for each node of the cluster, in one process: to the controller each looks like the
// agent of a machine.
//
// A node that does not respond has no agent: the controller finds it lost and places its tasks
// again. A node that is drained keeps its agent, which says so as a failed check.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/auth/pki.h"
#include "compute_fabric/slurm/slurm_nodes.h"
#include "compute_fabric/slurm/slurm_pool.h"

namespace oneai::fabric {

struct SlurmAgentsOptions {
  std::filesystem::path state_dir;  // on storage that the compute nodes see at the same path
  std::string controller;           // host:port
  std::string shim_program;         // at the same path on the compute nodes
  std::string bin_dir;
  TlsCredentials tls;  // of kind pool
  absl::Duration fence = absl::Seconds(30);
  PoolOptions pool;
};

// Thread-compatible. `slurm` must outlive it.
class SlurmAgents {
 public:
  SlurmAgents(SlurmAgentsOptions options, SlurmPool* slurm);
  ~SlurmAgents();  // stops all; tasks go on

  // Starts agents for nodes that respond and have none, stops those of nodes that do not.
  absl::Status Reconcile();
  size_t num_running() const { return agents_.size(); }

 private:
  class NodeAgent;
  const SlurmAgentsOptions options_;
  SlurmPool* const slurm_;
  std::map<std::string, std::unique_ptr<NodeAgent>> agents_;  // by Slurm's name
};

}  // namespace oneai::fabric
