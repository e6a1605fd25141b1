// File: compute_fabric/simulation/machine.h
//
// A node's machine: what is on its disk, and the task processes with their shims. Both outlive the
// agent; a power cut ends the processes and leaves the disk.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "compute_fabric/jobs/placed_attempt.h"
#include "compute_fabric/node/node_tasks.h"
#include "compute_fabric/simulation/ground_truth.h"
#include "compute_fabric/simulation/sim_clock.h"
#include "compute_fabric/simulation/simulator.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric::simulation {

// What a task does is written in its environment by the workload.
inline constexpr char kDurationVariable[] = "SIM_MS";            // 0: runs until it is stopped
inline constexpr char kFailureVariable[] = "SIM_FAIL_PERMILLE";  // chance that an attempt fails

// The artifact folders on storage that all nodes see.
class SharedStorage final : public ArtifactFolders {
 public:
  absl::Status Create(const std::filesystem::path&) override {
    return full_ ? absl::ResourceExhaustedError("the artifact disk is full (simulated)")
                 : absl::OkStatus();
  }
  absl::Status Announce(const std::filesystem::path& artifact_dir, std::optional<int> rank,
                        int attempt) override;
  int PlacedAttempt(const std::string& artifact_dir, int rank) const;
  void set_full(bool full) { full_ = full; }

 private:
  bool full_ = false;
  std::map<std::pair<std::string, int>, int> placed_;  // rank -1: the gang
};

// Thread-compatible.
class Machine {
 public:
  Machine(Simulator* simulator, GroundTruth* truth, const SharedStorage* storage, v1::NodeInfo info)
      : clock(simulator),
        info(std::move(info)),
        simulator_(simulator),
        truth_(truth),
        storage_(storage) {}

  const std::string& name() const { return info.name(); }

  // For the agent's table of tasks. A folder is durable once its task counts as started.
  void StartShim(const TaskOrder& order, bool shim_comes_up);
  void SignalShim(const TaskKey& key);
  bool ShimLives(const TaskKey& key) const;

  // Somebody looks at the tasks' state when it changes: the agent.
  void set_on_change(std::function<void()> on_change) { on_change_ = std::move(on_change); }
  // The agent's sign of life, and its end: shims stop their tasks when it stays away.
  void AgentLives();
  void AgentIsGone();

  // Faults.
  void KillShim(const TaskKey& key);
  void PowerCut();
  bool has_power() const { return powered_; }
  void PowerOn() { powered_ = true; }
  // A device, or (empty) the node's probe, fails or works again; the agent's checks see it.
  void SetBroken(const std::string& device, bool broken);
  std::vector<TaskKey> LiveTasks() const;
  const SharedStorage& storage() const { return *storage_; }

  struct Folder {
    TaskOrder order;
    bool process = false;   // its process runs
    bool starting = false;  // its shim is coming up
    bool stopping = false;
    bool ready = false;
    std::optional<ExitRecord> exit;
    uint64_t life = 0;  // tells a shim's timers from those of an earlier one
  };

  // The disk.
  std::map<TaskKey, Folder> folders;
  std::map<TaskKey, absl::Time> forgotten;
  int64_t epoch = 0;
  bool disk_full = false;
  std::set<std::string> broken;  // devices; "": the probe
  uint64_t health_version = 0;   // rises with every change of `broken`
  absl::Duration fence = absl::Seconds(30);

  SimClock clock;
  const v1::NodeInfo info;

 private:
  void BeginProcess(const TaskKey& key);
  void EndProcess(const TaskKey& key, std::optional<ExitRecord> exit);
  // Calls `action` after `delay` unless the task's shim has died or ended by then.
  void AfterInShim(const TaskKey& key, absl::Duration delay, std::function<void(Folder&)> action);
  // What the shims do while the agent gives no sign of life: look whether they have successors.
  void LookForSuccessors(uint64_t absence);
  void Changed();

  Simulator* const simulator_;
  GroundTruth* const truth_;
  const SharedStorage* const storage_;
  std::function<void()> on_change_;
  bool powered_ = true;
  uint64_t agent_absence_ = 0;  // counts, so that an older absence's fence does not strike
};

}  // namespace oneai::fabric::simulation
