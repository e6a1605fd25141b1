// File: compute_fabric/node/shim_launcher.h
//
// How a task's shim comes to life on this node, how it is told to stop, and how its end is noticed.
// LocalShims: processes of this machine. slurm/slurm_shims.h: batch jobs of a Slurm cluster.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/node/task_key.h"

namespace oneai::fabric {

// Thread-compatible: the task table owns it. No call blocks for long.
class ShimLauncher {
 public:
  virtual ~ShimLauncher() = default;

  // Variables of the shim's environment that the task should see.
  virtual std::vector<std::string> inherited_env() const { return {}; }
  // Starts `oneai-shim --task-dir dir`, for a task that has never been started.
  virtual absl::Status Start(const TaskOrder& order, const std::filesystem::path& dir) = 0;
  // Follows what an earlier agent started.
  virtual void Adopt(const TaskKey& key, const std::filesystem::path& dir) = 0;

  // The shim is gone, or will never come to life. Only then is the task's end final.
  virtual bool HasEnded(const TaskKey& key, const std::filesystem::path& dir) = 0;
  // Why it is gone without a word, where the launcher knows ("Slurm: NODE_FAIL"); else empty.
  virtual std::string WhyEnded(const TaskKey& key) const = 0;
  // SIGTERM, which the shim turns into SIGTERM, grace, SIGKILL for the task. Repeated while the
  // shim lives; sent once.
  virtual void Terminate(const TaskKey& key, const std::filesystem::path& dir) = 0;
  // SIGKILL to the shim itself, which takes its task along.
  virtual void Kill(const TaskKey& key) = 0;
  // The shim is gone without an exit record: kills what it may have left behind.
  virtual void KillLeftovers(const TaskKey& key, const std::filesystem::path& dir) = 0;
  // The task has ended: nothing of it is needed any more.
  virtual void Forget(const TaskKey& key) = 0;
};

// Shims as children, or orphans, on this machine.
class LocalShims final : public ShimLauncher {
 public:
  // `env`: of the shims.
  LocalShims(std::string program, std::map<std::string, std::string> env)
      : program_(std::move(program)), env_(std::move(env)) {}
  ~LocalShims() override;

  absl::Status Start(const TaskOrder& order, const std::filesystem::path& dir) override;
  void Adopt(const TaskKey& key, const std::filesystem::path& dir) override;
  bool HasEnded(const TaskKey& key, const std::filesystem::path& dir) override;
  std::string WhyEnded(const TaskKey&) const override { return ""; }
  void Terminate(const TaskKey& key, const std::filesystem::path& dir) override;
  void Kill(const TaskKey& key) override;
  void KillLeftovers(const TaskKey& key, const std::filesystem::path& dir) override;
  void Forget(const TaskKey& key) override;

 private:
  struct Shim {
    pid_t pid = 0;
    int pid_fd = -1;  // -1 until known
    bool is_child = false;
    bool term_sent = false;
  };
  // Learns the shim's pid from shim.json once it exists.
  void Learn(Shim& shim, const std::filesystem::path& dir);

  const std::string program_;
  const std::map<std::string, std::string> env_;
  std::map<TaskKey, Shim> shims_;
};

}  // namespace oneai::fabric
