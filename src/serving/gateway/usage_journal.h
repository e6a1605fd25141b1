// File: serving/gateway/usage_journal.h
//
// What each business unit used, on its way to the controller: written ahead, reported in numbered
// batches, never counted twice.
//
//   record -> usage-<n>.log -> seal (sync, open n+1) -> report batch n -> acknowledged -> delete
//
// A batch's number is its file's name, so after a crash the same lines are reported under the same
// number, which the controller takes once. The newest file always exists and thereby keeps the
// number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace oneai::serving {

struct UsageDelta {
  std::string business_unit;
  std::string model;
  int64_t requests = 0;
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t errors = 0;

  bool operator==(const UsageDelta&) const = default;
};

struct UsageBatch {
  int64_t sequence = 0;
  std::vector<UsageDelta> deltas;  // summed by (business unit, model)
};

// Thread-safe.
class UsageJournal {
 public:
  // Opens the journal in `dir`, which is created. Whatever an earlier process left becomes batches.
  // The gateway's name for its sequence is drawn once and kept there: a lost folder starts a new
  // sequence instead of repeating numbers.
  static absl::StatusOr<std::unique_ptr<UsageJournal>> Open(const std::filesystem::path& dir);
  ~UsageJournal();

  // Survives a crash of this process when it returns; a crash of the machine may lose what is not
  // sealed yet.
  absl::Status Record(const UsageDelta& delta);
  // The oldest batch that is not acknowledged; seals the open file when it has anything and nothing
  // older waits. nullopt: nothing to report.
  absl::StatusOr<std::optional<UsageBatch>> NextBatch();
  // The controller has the batch.
  absl::Status Acknowledge(int64_t sequence);
  const std::string& gateway_id() const { return gateway_id_; }

 private:
  UsageJournal(std::filesystem::path dir, std::string gateway_id)
      : dir_(std::move(dir)), gateway_id_(std::move(gateway_id)) {}
  std::filesystem::path FileOf(int64_t sequence) const;
  absl::Status OpenNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<UsageBatch> ReadBatch(int64_t sequence) const;

  const std::filesystem::path dir_;
  const std::string gateway_id_;
  mutable absl::Mutex mu_;
  int fd_ ABSL_GUARDED_BY(mu_) = -1;
  int64_t open_sequence_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t open_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<int64_t> sealed_ ABSL_GUARDED_BY(mu_);  // ascending
};

}  // namespace oneai::serving
