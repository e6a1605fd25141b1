// File: serving/gateway/load_meter.h
//
// How many requests are under way at each endpoint, on average over time: what the controller
// scales replicas by.
//
//   begin -> first token -> end; read: mean since the last read
#pragma once

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace oneai::serving {

struct MeanLoad {
  double in_flight = 0;  // answers are coming
  double queued = 0;     // without a first token
};

// Thread-safe. `clock` must outlive it.
class LoadMeter {
 public:
  explicit LoadMeter(const Clock* clock) : clock_(clock), last_read_(clock->Now()) {}

  void Begin(const std::string& endpoint);
  void FirstToken(const std::string& endpoint);
  // `answering`: FirstToken was called.
  void End(const std::string& endpoint, bool answering);

  // By endpoint, since the last read; those that had nothing are left out. A mean sees short
  // requests that begin and end between two reads.
  std::map<std::string, MeanLoad> Read();

 private:
  struct Level {
    int64_t in_flight = 0;
    int64_t queued = 0;
    absl::Time since;
    MeanLoad seconds;  // request-seconds since the last read
  };
  Level& UpToNow(const std::string& endpoint) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Advance(Level& level, absl::Time now);

  const Clock* const clock_;
  absl::Mutex mu_;
  absl::Time last_read_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Level> levels_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::serving
