// File: compute_fabric/simulation/workload.h
//
// What people do: submit jobs of every sort, cancel, retry, cordon, change quotas. A user repeats a
// call until somebody answers.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/simulation/operators.h"
#include "compute_fabric/simulation/world.h"

namespace oneai::fabric::simulation {

// Thread-compatible. `world` must outlive the simulation.
class Workload {
 public:
  explicit Workload(World* world);

  // Plans calls from now until `until`.
  void Begin(absl::Time until);
  // Takes back what would keep jobs waiting for ever: the operators' doings, endless jobs.
  void WindDown();
  // That has been done, and every call has been answered.
  bool IsDone() const { return wound_down_ && num_open_ + operators_.num_open() == 0; }
  int num_refused() const { return num_refused_; }
  int num_submitted() const { return num_submitted_; }

 private:
  v1::JobSpec DrawSpec(const std::string& request_id);
  void Submit();
  void Cancel(const std::string& job_id);
  void CancelAny();
  void RetryAny();
  void CalmDown();

  World* const world_;
  const Identity user_;
  Operators operators_;
  int num_submitted_ = 0;
  int num_refused_ = 0;
  int num_open_ = 0;
  bool wound_down_ = false;
  std::vector<std::string> jobs_;    // acknowledged
  std::vector<std::string> arrays_;  // of which those are
};

}  // namespace oneai::fabric::simulation
