// File: compute_fabric/node/node_tasks.h
//
// What an agent's session (agent_session.h) works on: the node's tasks, their output, and the fence
// against replaced controllers. TaskTable, LogShipper and EpochFence are the real ones;
// compute_fabric/simulation has others.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute_fabric/node/reconcile.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {

// What the controller is told of a task.
struct TaskStatus {
  TaskKey key;
  TaskPhase phase = TaskPhase::kRunning;
  bool ready = false;
  ExitRecord exit;  // kExited; before that only started_unix_ms
};

// Thread-compatible: the agent's loop owns it.
class NodeTasks {
 public:
  virtual ~NodeTasks() = default;

  // Starts an unknown task. Never fails: what cannot be started is an ended task with exit code 126
  // and the reason.
  virtual void Start(const TaskOrder& order, absl::Time now) = 0;
  // SIGTERM; after the grace the shim kills, and if even the shim hangs the agent does. No-op
  // unless running.
  virtual void Stop(const TaskKey& key, absl::Time now) = 0;
  // Sends the warning signal to a running task, once however often this is called; it goes on
  // running.
  virtual void Warn(const TaskKey& /*key*/, int /*signal_number*/) {}
  // Deletes what is kept of an ended task. No-op unless ended.
  virtual void Forget(const TaskKey& key, absl::Time now) = 0;

  // Looks at every task without waiting. True: something changed that the controller should know.
  virtual bool Poll(absl::Time now) = 0;

  // All phases, forgotten ones included; `logs_shipped` is left false.
  virtual std::vector<KnownTask> Known() const = 0;
  // Running, stopping and ended tasks.
  virtual std::vector<TaskStatus> Statuses() const = 0;
  // Running tasks whose artifact folder names a newer attempt. Reads shared storage.
  virtual std::vector<TaskKey> Superseded() const = 0;
};

// Brings what tasks write to the controller.
class TaskOutput {
 public:
  virtual ~TaskOutput() = default;
  virtual void Follow(const TaskKey& key) = 0;  // no-op when already followed
  virtual void MarkEnded(const TaskKey& key) = 0;
  // The controller has everything, or says that it knows no such task.
  virtual bool IsComplete(const TaskKey& key) const = 0;
  virtual void Drop(const TaskKey& key) = 0;
};

// See EpochFence.
class EpochGate {
 public:
  virtual ~EpochGate() = default;
  // OK: `epoch` is the highest seen and durable as such. Aborted: it is lower than one seen; ignore
  // the answer.
  virtual absl::Status Admit(int64_t epoch) = 0;
  virtual int64_t epoch() const = 0;
};

}  // namespace oneai::fabric
