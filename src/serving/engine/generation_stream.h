// File: serving/engine/generation_stream.h
//
// The answers to one request on their way from the engine thread to their reader. Unread pieces of
// a choice are merged, so memory is bounded by the tokens pending, and the engine stops computing
// for a reader that is too far behind.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "serving/engine/generation.h"

namespace oneai::serving {

// Makes of `event` and the one that follows it in the same choice a single event.
void AppendEvent(GenerationEvent& event, GenerationEvent next);

// Wakes the engine thread. Outlives the engine in the streams that hold it. Thread-safe.
class EngineBell {
 public:
  void Ring() ABSL_LOCKS_EXCLUDED(mu_);
  // Returns once rung since the last call, or after `timeout`.
  void WaitFor(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;
  bool rung_ ABSL_GUARDED_BY(mu_) = false;
};

// Thread-safe: one reader, one writer.
class GenerationStream {
 public:
  // Full from `pending_tokens_max` unread tokens on.
  GenerationStream(std::shared_ptr<EngineBell> bell, int64_t pending_tokens_max);

  // --- reader ---
  // Everything unread of one choice, as one event; nullopt when there is nothing. The one that
  // ends the request comes last; after it: nullopt.
  std::optional<GenerationEvent> Take();
  // As Take, but waits for something.
  GenerationEvent Wait();
  // Called by the engine thread, outside locks, whenever there may be something to take; at once if
  // there is now. Dropped after the last event. Must not block.
  void OnReady(std::function<void()> callback);
  // The reader is gone: the engine frees the blocks within one step and ends the stream with
  // CANCELLED.
  void Cancel();

  // --- engine ---
  void Push(GenerationEvent event);
  bool cancelled() const;
  bool full() const;

 private:
  std::optional<GenerationEvent> TakeLocked(bool& was_full) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MergeLocked(GenerationEvent event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool FullLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<EngineBell> bell_;
  const int64_t pending_tokens_max_;
  mutable absl::Mutex mu_;
  // At most one a choice, in the order in which they came.
  std::vector<GenerationEvent> pending_ ABSL_GUARDED_BY(mu_);
  int64_t num_pending_tokens_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> on_ready_ ABSL_GUARDED_BY(mu_);
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace oneai::serving
