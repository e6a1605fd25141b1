// File: compute_fabric/simulation/sim_tasks.h
//
// An agent's table of tasks over a simulated machine: what compute_fabric/node's TaskTable is over
// folders and pidfds. One per life of the agent; what it must not forget is on the machine's disk.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "compute_fabric/node/node_tasks.h"
#include "compute_fabric/simulation/machine.h"

namespace oneai::fabric::simulation {

class SimTasks final : public NodeTasks {
 public:
  // Adopts what is on the machine's disk.
  SimTasks(Simulator* simulator, Machine* machine);

  void Start(const TaskOrder& order, absl::Time now) override;
  void Stop(const TaskKey& key, absl::Time now) override;
  void Forget(const TaskKey& key, absl::Time now) override;
  bool Poll(absl::Time now) override;
  std::vector<KnownTask> Known() const override;
  std::vector<TaskStatus> Statuses() const override;
  std::vector<TaskKey> Superseded() const override;

  // The agent was killed between making a task's folder and starting its shim.
  void set_dies_before_shim(bool dies) { dies_before_shim_ = dies; }

 private:
  void Conclude(const TaskKey& key, TaskStatus& entry);

  Simulator* const simulator_;
  Machine* const machine_;
  bool dies_before_shim_ = false;
  std::map<TaskKey, TaskStatus> entries_;
};

// Output is always shipped at once: what is lost of it is lost by no promise tested here.
class SimOutput final : public TaskOutput {
 public:
  void Follow(const TaskKey&) override {}
  void MarkEnded(const TaskKey& key) override { ended_.insert(key); }
  bool IsComplete(const TaskKey& key) const override { return ended_.contains(key); }
  void Drop(const TaskKey& key) override { ended_.erase(key); }

 private:
  std::set<TaskKey> ended_;
};

class SimEpochGate final : public EpochGate {
 public:
  explicit SimEpochGate(Machine* machine) : machine_(machine) {}
  absl::Status Admit(int64_t epoch) override;
  int64_t epoch() const override { return machine_->epoch; }

 private:
  Machine* const machine_;
};

}  // namespace oneai::fabric::simulation
