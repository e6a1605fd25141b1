// File: model_platform/train/rank_group.h
//
// The ranks of a gang and what they say to each other, over c10d: a TCPStore on rank 0 to meet,
// Gloo to reduce. With one rank nothing is opened and every call returns at once.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model_platform/train/task_environment.h"

namespace at {
class Tensor;  // the ranks' control flow needs no LibTorch headers
}

namespace oneai::platform {

// Every rank makes the same calls in the same order. Thread-compatible. Unavailable: a rank has
// gone or is out of reach; the group is then useless.
class RankGroup {
 public:
  // Waits for all ranks to arrive, at most ten minutes.
  static absl::StatusOr<std::unique_ptr<RankGroup>> Join(const TaskEnvironment& task);
  ~RankGroup();

  // Adds up `tensor` (contiguous, one dim) over the ranks, in place. Large tensors go in buckets
  // that are in flight together. The order of additions depends on the number of ranks alone, so a
  // repeated run gives the same bits.
  absl::Status Sum(at::Tensor& tensor);
  // Overwrites `tensor` with rank 0's.
  absl::Status Broadcast(at::Tensor& tensor);
  // Returns rank 0's text on every rank.
  absl::StatusOr<std::string> Broadcast(std::string text);

  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  struct Impl;
  RankGroup(int rank, int size);

  const int rank_;
  const int size_;
  std::unique_ptr<Impl> impl_;  // null with one rank
};

}  // namespace oneai::platform
