// File: compute_fabric/events/event_log.h
//
// What happened in the fabric, in order: written in the same transaction as the change that caused
// it, kept up to a bound. Key: events/<20-digit sequence>.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/store/store.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// Thread-safe.
class EventLog {
 public:
  // Older events are deleted as new ones come.
  static constexpr int64_t kEventsMax = 20'000;

  explicit EventLog(int64_t events_max = kEventsMax) : events_max_(events_max) {}

  // Reads what the store holds. Once, before the others.
  absl::Status Load(const Store& store);

  // Gives the drafts their sequence numbers, adds them to `transaction` (and what retention
  // deletes), and returns them for Install. A transaction that is not committed leaves a gap in the
  // sequence, which is harmless.
  std::vector<v1::Event> Add(const EventDrafts& drafts, absl::Time now, Transaction& transaction);
  // Makes committed events visible.
  void Install(const std::vector<v1::Event>& events);

  // At most `limit` events after `after_sequence`, oldest first; of `subject`, or of all when
  // empty. With `after_sequence` 0: the newest `limit`.
  std::vector<v1::Event> List(absl::string_view subject, int64_t after_sequence,
                              int64_t limit) const;
  int64_t last_sequence() const;

 private:
  const int64_t events_max_;
  mutable absl::Mutex mu_;
  int64_t next_sequence_ ABSL_GUARDED_BY(mu_) = 1;
  std::deque<v1::Event> events_ ABSL_GUARDED_BY(mu_);  // by sequence
};

}  // namespace oneai::fabric
