// File: compute_fabric/slurm/slurm_client.h
//
// A Slurm cluster through its commands: sinfo, squeue, sbatch, scontrol, scancel. Commands rather
// than libslurm, whose licence and ABI (one per release) would bind us.
//
// The fabric decides where a task runs, so it submits held, pins, and releases:
//
//   sbatch --hold  ->  scontrol update ReqNodeList=n  ->  scontrol release
//
// A crash between two of them leaves a held job, which never runs by itself; the job's name is the
// task's, so it is found again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "compute_fabric/slurm/slurm_text.h"

namespace oneai::fabric {

struct SlurmOptions {
  std::string config_file;  // SLURM_CONF; empty: Slurm's default
  std::string partition;    // empty: the cluster's default
  std::string account;      // empty: the submitter's default
  absl::Duration timeout = absl::Seconds(30);
  std::map<std::string, std::string> env;  // of the commands
};

// One task as a batch job on one node.
struct SlurmSubmission {
  std::string name;  // unique: found again by it
  std::string node;
  std::string script_file;  // begins with "#!"
  std::string output_file;  // of the script itself
  std::string working_dir;
  int64_t cpus = 1;
  int64_t memory_bytes = 0;     // 0: the cluster's default
  std::vector<SlurmGres> gres;  // per node
};

// Thread-safe; every call runs a command and blocks. Unavailable: the command failed or ran out of
// time (slurmctld down); NotFound: the commands are not installed. Messages end with what Slurm
// said.
class SlurmClient {
 public:
  explicit SlurmClient(SlurmOptions options) : options_(std::move(options)) {}

  // Of the partition.
  absl::StatusOr<std::vector<SlurmNode>> ListNodes() const;
  // Of this user, ended ones as long as Slurm remembers them (MinJobAge).
  absl::StatusOr<std::vector<SlurmJob>> ListJobs() const;
  // The id of the new, held job. InvalidArgument: Slurm refuses the request for good.
  absl::StatusOr<int64_t> SubmitHeld(const SlurmSubmission& submission) const;
  // Lets it run on that node and nowhere else.
  absl::Status PinAndRelease(int64_t job_id, const std::string& node) const;
  // A signal to the batch script alone; a job that does not run is left as it is.
  absl::Status Signal(int64_t job_id, int signal_number) const;
  // Ends the job whatever its state. An unknown one is fine.
  absl::Status Cancel(int64_t job_id) const;

 private:
  absl::StatusOr<std::string> Run(std::vector<std::string> argv) const;

  const SlurmOptions options_;
};

}  // namespace oneai::fabric
