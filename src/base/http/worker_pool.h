// File: base/http/worker_pool.h
//
// Threads for handlers, one per running handler, made when first needed. Work that finds all of
// them busy waits a moment in a short queue; what no thread has taken by then is given back to its
// sender, who says so to the client.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace oneai {

// Thread-safe.
class WorkerPool {
 public:
  // Work that runs at most once: by the thread that takes it, or never once Withdraw() was first.
  class Ticket {
   public:
    explicit Ticket(std::function<void()> work) : work_(std::move(work)) {}
    // True: it will never run. False: it runs or has run.
    bool Withdraw() { return !taken_.exchange(true); }

   private:
    friend class WorkerPool;
    const std::function<void()> work_;
    std::atomic<bool> taken_{false};
  };

  explicit WorkerPool(int num_threads) : num_threads_max_(num_threads) {}
  ~WorkerPool() { Stop(); }

  // Null: the queue is full.
  std::shared_ptr<Ticket> Submit(std::function<void()> work);
  // Runs what is queued, then joins.
  void Stop();

 private:
  void Run();
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); }

  const int num_threads_max_;
  absl::Mutex mu_;
  std::deque<std::shared_ptr<Ticket>> queue_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
  int num_idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace oneai
