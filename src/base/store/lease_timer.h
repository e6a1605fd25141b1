// File: base/store/lease_timer.h
//
// Which leases live and when each ends, on a monotonic clock: a step of the wall clock must not end
// every lease at once.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace oneai {

// Thread-safe.
class LeaseTimer {
 public:
  // `on_expired` deletes what hangs on the lease, on the timer's thread; false: it could not, try
  // again in a second.
  explicit LeaseTimer(std::function<bool(int64_t lease_id)> on_expired);
  ~LeaseTimer() { Stop(); }
  // No on_expired runs after it has returned.
  void Stop();

  void Add(int64_t lease_id, absl::Duration ttl);
  bool Renew(int64_t lease_id);   // false: it has ended
  bool Remove(int64_t lease_id);  // false: it has ended; the caller then owns its end
  bool Lives(int64_t lease_id) const;

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Lease {
    absl::Duration ttl;
    SteadyTime deadline;
    bool ended = false;  // its keys are being deleted
  };
  void Run();

  const std::function<bool(int64_t)> on_expired_;
  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::map<int64_t, Lease> leases_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace oneai
