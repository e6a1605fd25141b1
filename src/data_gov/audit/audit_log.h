// File: data_gov/audit/audit_log.h
//
// Who did what, for which purpose, and whether it was allowed: records in the Store, each holding
// the SHA-256 of the one before. Deleting, editing or reordering any record breaks the chain at
// that place. Cutting off the newest records cannot be seen from the log alone, which is why Verify
// returns the head's hash: keep it somewhere else to notice.
#pragma once

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/store/store.h"
#include "oneai/common/v1/common.pb.h"
#include "oneai/data/v1/data.pb.h"

namespace oneai::gov {

struct AuditEntry {
  common::v1::Principal principal;
  std::string action;    // "dataset.open"
  std::string resource;  // "retail/tiny-shakespeare@1"
  std::string purpose;
  bool allowed = true;
  std::string detail;
};

// SHA-256(record.previous_hash || deterministic encoding of fields 1..8).
std::string HashOf(const data::v1::AuditRecord& record);

// Thread-safe. Both pointers must outlive it.
class AuditLog {
 public:
  // Reads the head of the chain. DataLoss: the newest record does not parse.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(Store* store, const Clock* clock);

  // Durable when it returns OK. What must be audited fails when this fails.
  absl::Status Append(const AuditEntry& entry);

  // Newest records first. `visible` says which of them the reader may see (empty: all); the limit
  // counts those.
  using Visible = std::function<bool(const data::v1::AuditRecord& record)>;
  absl::StatusOr<data::v1::QueryAuditResponse> Query(const data::v1::QueryAuditRequest& request,
                                                     const Visible& visible = nullptr) const;
  absl::StatusOr<data::v1::VerifyAuditResponse> Verify() const;

 private:
  AuditLog(Store* store, const Clock* clock) : store_(store), clock_(clock) {}

  Store* const store_;
  const Clock* const clock_;
  absl::Mutex mu_;  // held over the commit: records of a chain are written one after the other
  int64_t next_sequence_ ABSL_GUARDED_BY(mu_) = 1;
  std::string head_hash_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::gov
