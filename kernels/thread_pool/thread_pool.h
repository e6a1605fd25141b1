// A fixed set of threads that run one loop at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

namespace oneai::kernels {

// Runs `body(begin, end, worker)` over contiguous parts of [0, n), one part per thread, the
// caller's among them. Part i is [i*n/P, (i+1)*n/P) for P = num_threads: the partition depends on
// nothing else, and kernels compute each output within one index, so no result depends on the
// number of threads.
//
// Waiting threads spin for some microseconds before they sleep: decode issues loops back to back.
// One caller at a time (thread-compatible); loops do not nest.
class ThreadPool {
 public:
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end, int worker)>;

  // Starts `num_threads` - 1 threads; at least one (the caller) takes part.
  explicit ThreadPool(int num_threads);
  // Joins all threads.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Returns when every part is done. `worker` < num_threads() names the thread. Allocates nothing.
  // n = 0: no-op.
  void ParallelFor(int64_t n, Body body);

 private:
  void WorkerLoop(int worker);
  void RunPart(int worker);

  const int num_threads_;
  std::atomic<uint64_t> generation_{0};  // bumped once per loop; workers wait for the bump
  std::atomic<int> num_pending_{0};      // workers still inside the loop
  std::atomic<bool> stopping_{false};
  int64_t n_ = 0;                   // published by generation_
  const Body* body_ = nullptr;      // published by generation_
  std::atomic<int> num_asleep_{0};  // workers that sleep or are about to
  absl::Mutex mu_;                  // orders going to sleep against waking up
  absl::CondVar wake_;
  std::vector<std::thread> threads_;
};

}  // namespace oneai::kernels
