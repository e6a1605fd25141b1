// File: compute_fabric/node/fencing.h
//
// Two fences. Epoch: an answer of a controller that has been replaced must not be obeyed. Lease:
// shims stop their tasks when the agent gives no sign of life, so that a node that was declared
// lost cannot go on for ever.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "compute_fabric/node/node_tasks.h"

namespace oneai::fabric {

// The highest controller epoch that this node has seen, kept in a file. Thread-compatible.
class EpochFence final : public EpochGate {
 public:
  // DataLoss: the file is not a number; remove it only when no old controller can be alive.
  static absl::StatusOr<EpochFence> Open(std::filesystem::path file);

  absl::Status Admit(int64_t epoch) override;
  int64_t epoch() const override { return epoch_; }

 private:
  EpochFence(std::filesystem::path file, int64_t epoch) : file_(std::move(file)), epoch_(epoch) {}
  std::filesystem::path file_;
  int64_t epoch_;
};

// The file that shims watch. Thread-compatible.
class AgentLease {
 public:
  explicit AgentLease(std::filesystem::path file) : file_(std::move(file)) {}
  // Creates the file when absent and sets its time to now, at most twice a second.
  void Touch(absl::Time now);
  const std::filesystem::path& file() const { return file_; }

 private:
  const std::filesystem::path file_;
  absl::Time last_ = absl::InfinitePast();
};

// Exclusive use of an agent's state folder, until destruction or death.
class StateLock {
 public:
  // FailedPrecondition: another agent uses `state_dir`.
  static absl::StatusOr<std::unique_ptr<StateLock>> Take(const std::filesystem::path& state_dir);
  ~StateLock();

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace oneai::fabric
