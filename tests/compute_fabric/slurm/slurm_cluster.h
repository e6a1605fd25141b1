// File: tests/compute_fabric/slurm/slurm_cluster.h
//
// A real Slurm cluster on this machine: munged, slurmctld and node daemons of Debian's packages, in
// a temporary folder, on loopback and free ports. Its GPUs are stand-ins (character devices).
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/slurm/slurm_client.h"

namespace oneai::fabric {

class SlurmCluster {
 public:
  struct Shape {
    int num_nodes = 3;
    int cpus = 8;
    int64_t memory_megabytes = 64'000;
    int gpus = 8;
    std::string gpu_type = "h100";
  };

  // What keeps it from running here ("slurmctld is not installed", "needs root"); empty: nothing.
  static std::string WhyNot();

  // Waits until all nodes are idle. The daemons end with the object.
  static absl::StatusOr<std::unique_ptr<SlurmCluster>> Start(const std::filesystem::path& dir,
                                                             const Shape& shape);
  ~SlurmCluster();

  SlurmOptions options() const;
  std::filesystem::path config_file() const { return dir_ / "slurm.conf"; }
  // kill -9 of a node's daemon ("n2"), and a new one.
  void KillNode(const std::string& node);
  absl::Status StartNode(const std::string& node);
  void KillController();
  absl::Status StartController();

 private:
  struct Daemon {
    std::string name;
    pid_t pid = 0;
  };

  SlurmCluster(std::filesystem::path dir, Shape shape) : dir_(std::move(dir)), shape_(shape) {}
  absl::Status WriteFiles();
  absl::Status StartDaemon(const std::string& name, std::vector<std::string> argv);
  void KillDaemon(const std::string& name);
  absl::Status WaitUntilIdle() const;

  const std::filesystem::path dir_;
  const Shape shape_;
  std::vector<Daemon> daemons_;  // in the order started
};

}  // namespace oneai::fabric
