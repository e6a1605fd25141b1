// File: compute_fabric/node/log_shipper.h
//
// Brings every task's output.log and metrics.jsonl to the controller. The controller's size is the
// only position there is: it is asked for at the start and obeyed after every message, so neither a
// restart here nor there loses or doubles a byte.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "compute_fabric/node/task_key.h"

namespace oneai::fabric {

// Start() to Stop(). Thread-safe.
class LogShipper {
 public:
  explicit LogShipper(std::shared_ptr<grpc::Channel> channel);
  ~LogShipper();

  void Start();
  void Stop();

  // Ships the files of `task_dir` from now on; no-op when already followed.
  void Follow(const TaskKey& key, const std::filesystem::path& task_dir);
  // The files do not grow any more.
  void MarkEnded(const TaskKey& key);
  // The controller has everything, or says that it knows no such task.
  bool IsComplete(const TaskKey& key) const;
  void Drop(const TaskKey& key);
  // Waits until all ended tasks are complete, at most `patience`.
  void Flush(absl::Duration patience);

 private:
  struct Stream;
  struct Task {
    bool ended = false;
    std::vector<std::shared_ptr<Stream>> streams;
  };
  void Loop();
  bool EndedAreComplete() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<grpc::Channel> channel_;
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::map<TaskKey, Task> tasks_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace oneai::fabric
