// File: compute_fabric/node/cgroups.h
//
// Resource limits by cgroup v2, or v1, where this process may write them. What cannot be enforced
// is said in words, never pretended.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::fabric {

struct CgroupLimits {
  int64_t memory_bytes = 0;  // hard; 0: none
  int64_t cpu_milli = 0;     // a weight: idle cores are free for all
  int64_t num_processes_max = 32'768;
  bool cpu_hard = false;  // cpu_milli is a quota besides: idle cores stay idle
};

// The kernel's side, so that a test can bring a file tree of its own.
struct CgroupSystem {
  std::string mount = "/sys/fs/cgroup";
  std::string self = "/proc/self/cgroup";
  // Makes a group; true when it is there afterwards.
  std::function<bool(const std::string& folder)> make_folder;
  // Whether a short-lived child can be moved into the group.
  std::function<bool(const std::string& folder)> can_join;
};
// can_join forks: call before threads start.
CgroupSystem RealCgroups();

// Thread-compatible.
class CgroupTree {
 public:
  CgroupTree() = default;  // enforces nothing

  // Tries, by making a group and moving a child into it, which limits work here. Where v2 forbids
  // limits below a group with processes, this process moves itself into a group `oneai-agent`.
  static CgroupTree Detect(absl::string_view node_name, CgroupSystem system = RealCgroups());

  // Groups for one task with the limits set; those that cannot be made are left out (`problems`
  // says which).
  std::vector<std::string> Create(const std::string& task_name, const CgroupLimits& limits,
                                  std::vector<std::string>& problems) const;

  // Removes the tree's own folders where no task is left in them.
  void RemoveEmpty() const;

  bool Enforces(absl::string_view controller) const;                      // "memory", "cpu", "pids"
  const std::vector<std::string>& enforced() const { return enforced_; }  // "cgroup-memory", ...
  const std::vector<std::string>& not_enforced() const { return not_enforced_; }

 private:
  struct Branch {
    std::string folder;                    // parent of the tasks' folders
    std::vector<std::string> controllers;  // "memory", "cpu", "pids"
    int version = 2;
  };
  explicit CgroupTree(CgroupSystem system) : system_(std::move(system)) {}
  void DetectV2(const std::string& leaf);
  void DetectV1(const std::string& leaf);
  void AddBranch(const Branch& branch);
  void Miss(const std::vector<std::string>& controllers, absl::string_view why);

  CgroupSystem system_;
  std::vector<Branch> branches_;
  std::vector<std::string> enforced_;
  std::vector<std::string> not_enforced_;
};

}  // namespace oneai::fabric
