// File: compute_fabric/node/isolation.h
//
// What keeps tasks from each other and from the machine, as far as this machine lets the agent:
// cgroups, namespaces, system call filter, and the limits that always work. What does not is said
// in the node's status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/node/cgroups.h"
#include "compute_fabric/node/sandbox.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/shim/seccomp_filter.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {

enum class IsolationMode {
  kOff,       // cgroups and plain limits only
  kAuto,      // what works here
  kRequired,  // all of it, or the agent does not start
};
// "off", "auto", "required". InvalidArgument.
absl::StatusOr<IsolationMode> ParseIsolationMode(absl::string_view name);

struct IsolationOptions {
  IsolationMode mode = IsolationMode::kAuto;
  std::string node_name;
  SandboxOptions sandbox;  // bwrap is looked up in `path` when empty
  std::string path;        // PATH in which bwrap is looked for
  // Of a task that does not say: the folder's size (what a careless program fills a disk with), and
  // processes with threads (a data loader with 64 workers of 64 threads is 4,096).
  int64_t disk_bytes = int64_t{64} << 30;
  int64_t processes_max = 16'384;
  // cores as a hard quota, not only as a weight: steadier timings, idle cores stay idle.
  bool cpu_hard = false;
};

// Thread-compatible.
class Isolation {
 public:
  // Tries what works here; starts short-lived processes, so call before threads start.
  // FailedPrecondition: kRequired, and something does not work (names all of it).
  static absl::StatusOr<Isolation> Detect(IsolationOptions options);

  // Nothing: where somebody else (Slurm) keeps the tasks apart.
  static Isolation None() { return Isolation({.mode = IsolationMode::kOff}, CgroupTree()); }

  // Completes `spec` for a task whose folder is `task_dir`: makes its groups and folders.
  // `problems` says which limits could not be set.
  absl::Status Prepare(const TaskOrder& order, const NodeFacts& node, const std::string& task_dir,
                       LaunchSpec& spec, std::vector<std::string>& problems) const;

  // The /dev/shm folder of an attempt of a job on this node; empty: there is none.
  std::string SharedMemoryFolder(const TaskKey& key) const;
  void RemoveEmptyGroups() const { cgroups_.RemoveEmpty(); }

  // For NodeInfo: "process-group", "namespaces", "seccomp", ...; and the others, in words.
  const std::vector<std::string>& enforced() const { return enforced_; }
  const std::vector<std::string>& not_enforced() const { return not_enforced_; }

 private:
  Isolation(IsolationOptions options, CgroupTree cgroups)
      : options_(std::move(options)), cgroups_(std::move(cgroups)) {}
  void DetectSandbox();
  void DetectSeccomp();
  absl::Status RequireAll() const;

  IsolationOptions options_;
  CgroupTree cgroups_;
  SeccompMode seccomp_ = SeccompMode::kOff;
  std::vector<std::string> enforced_;
  std::vector<std::string> not_enforced_;
};

}  // namespace oneai::fabric
