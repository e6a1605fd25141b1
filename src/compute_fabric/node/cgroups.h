// File: compute_fabric/node/cgroups.h
//
// Resource limits by cgroup v2, or v1, where this process may write them. What cannot be enforced
// is said in words, never pretended.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::fabric {

struct CgroupLimits {
  int64_t memory_bytes = 0;  // hard; 0: none
  int64_t cpu_milli = 0;     // a weight: idle cores are free for all
  int64_t num_processes_max = 32'768;
};

// Thread-compatible.
class CgroupTree {
 public:
  // Tries, by making a folder and moving a short-lived child into it, which limits work here. Call
  // before threads start.
  static CgroupTree Detect(absl::string_view node_name);

  // Folders for one task with the limits set; those that cannot be made are left out (`problems`
  // says which).
  std::vector<std::string> Create(const std::string& task_name, const CgroupLimits& limits,
                                  std::vector<std::string>& problems) const;

  // Removes the tree's own folders where no task is left in them.
  void RemoveEmpty() const;

  const std::vector<std::string>& enforced() const { return enforced_; }
  const std::vector<std::string>& not_enforced() const { return not_enforced_; }

 private:
  struct Branch {
    std::string folder;                    // parent of the tasks' folders
    std::vector<std::string> controllers;  // "memory", "cpu", "pids"
    int version = 2;
  };
  void AddBranch(const Branch& branch);

  std::vector<Branch> branches_;
  std::vector<std::string> enforced_;
  std::vector<std::string> not_enforced_;
};

}  // namespace oneai::fabric
