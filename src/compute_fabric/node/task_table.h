// File: compute_fabric/node/task_table.h
//
// The tasks of this node: starting their shims, following them, adopting them after a restart of
// the agent.
//
// Each task is a folder (compute_fabric/shim/task_files.h); the table is rebuilt from the folders
// alone, so the agent may be killed at any instruction. A forgotten attempt leaves an empty file in
// `forgotten/` for a day: it must not start again when an answer arrives late.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "compute_fabric/node/isolation.h"
#include "compute_fabric/node/node_cache.h"
#include "compute_fabric/node/node_tasks.h"
#include "compute_fabric/node/reconcile.h"
#include "compute_fabric/node/shim_launcher.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {

struct TaskTableOptions {
  std::filesystem::path state_dir;  // holds tasks/ and forgotten/
  std::string bin_dir;              // where built-in programs are
  std::string lease_file;           // see AgentLease
  absl::Duration fence = absl::Seconds(30);
  NodeFacts node;
  int64_t cache_bytes_max = 0;  // of cache/, for replicas (node_cache.h); 0: none
};

// Thread-compatible: the agent's loop owns it.
class TaskTable final : public NodeTasks {
 public:
  // Adopts what is in `options.state_dir`: living shims go on, ended tasks are reported, a task
  // whose shim died is ended with signal 9, a folder that was never started is removed. `shims` and
  // `isolation` must outlive the table.
  static absl::StatusOr<std::unique_ptr<TaskTable>> Open(TaskTableOptions options,
                                                         ShimLauncher* shims,
                                                         const Isolation* isolation);

  void Start(const TaskOrder& order, absl::Time now) override;
  void Stop(const TaskKey& key, absl::Time now) override;
  void Warn(const TaskKey& key, int signal_number) override;
  void Forget(const TaskKey& key, absl::Time now) override;
  bool Poll(absl::Time now) override;
  std::vector<KnownTask> Known() const override;
  std::vector<TaskStatus> Statuses() const override;
  std::vector<TaskKey> Superseded() const override;

  std::filesystem::path FolderOf(const TaskKey& key) const;
  bool HasLive() const;

 private:
  struct Entry {
    TaskPhase phase = TaskPhase::kRunning;
    bool ready = false;
    bool warned = false;
    int64_t grace_ms = 0;
    absl::Time kill_shim_at = absl::InfiniteFuture();
    ExitRecord exit;
  };

  TaskTable(TaskTableOptions options, ShimLauncher* shims, const Isolation* isolation)
      : options_(std::move(options)),
        cache_(options_.state_dir / "cache", options_.cache_bytes_max),
        shims_(shims),
        isolation_(isolation) {}
  absl::Status AdoptAll(absl::Time now);
  void Adopt(const TaskKey& key);
  absl::Status Launch(const TaskOrder& order, Entry& entry);
  absl::StatusOr<LaunchSpec> WriteFolder(const TaskOrder& order);
  std::string CacheFolderFor(const TaskOrder& order) const;
  // Learns when the task began from shim.json once it exists.
  void LearnStart(const TaskKey& key, Entry& entry) const;
  // The shim is gone: takes its exit record, or ends the task in its place.
  void Conclude(const TaskKey& key, Entry& entry);
  bool PollLive(const TaskKey& key, Entry& entry, absl::Time now);
  void PruneForgotten(absl::Time now);
  // Removes the /dev/shm of the task's attempt when it was the last one here.
  void DropSharedMemory(const TaskKey& key);

  const TaskTableOptions options_;
  NodeCache cache_;
  ShimLauncher* const shims_;
  const Isolation* const isolation_;
  std::map<TaskKey, Entry> entries_;
  std::map<TaskKey, absl::Time> forgotten_;
};

}  // namespace oneai::fabric
