// File: compute_fabric/slurm/slurm_shims.h
//
// Shims as batch jobs: one Slurm job a task, on the node that the fabric's scheduler chose. The
// task folder is on storage that the compute nodes share with this process, so that everything
// else, from exit.json to the fence, works as it does on a machine of our own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compute_fabric/node/shim_launcher.h"
#include "compute_fabric/slurm/slurm_pool.h"

namespace oneai::fabric {

// Thread-compatible: one node's task table owns it. `pool` must outlive it.
class SlurmShims final : public ShimLauncher {
 public:
  struct Node {
    std::string name;                         // Slurm's
    std::string shim_program;                 // as the compute nodes see it
    std::map<std::string, SlurmGres> device;  // what of Slurm's is behind each of our device ids
  };
  SlurmShims(SlurmPool* pool, Node node) : pool_(pool), node_(std::move(node)) {}

  // Slurm decides which device of a kind the task gets, and says so in these.
  std::vector<std::string> inherited_env() const override;
  absl::Status Start(const TaskOrder& order, const std::filesystem::path& dir) override;
  void Adopt(const TaskKey& key, const std::filesystem::path& dir) override;
  bool HasEnded(const TaskKey& key, const std::filesystem::path& dir) override;
  std::string WhyEnded(const TaskKey& key) const override;
  void Terminate(const TaskKey& key, const std::filesystem::path& dir) override;
  void Kill(const TaskKey& key) override;
  // Slurm kills what a job leaves behind.
  void KillLeftovers(const TaskKey&, const std::filesystem::path&) override {}
  void Forget(const TaskKey& key) override;

 private:
  SlurmPool* const pool_;
  const Node node_;
  std::map<TaskKey, bool> terminated_;
};

// What Slurm calls the job of a task.
std::string SlurmJobName(const TaskKey& key);

// The batch script: becomes the shim, without a shell in between. Paths are quoted for sh(1).
std::string SlurmScript(const std::string& shim_program, const std::string& task_dir);

}  // namespace oneai::fabric
