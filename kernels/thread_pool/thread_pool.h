// A fixed set of threads that run one loop at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "kernels/thread_pool/waitable_word.h"

namespace oneai::kernels {

// kCores: the pool's threads stay on one physical core each, in order of NUMA node, so that part i
// of every loop runs where part i of the memory was first written. The caller is not moved (see
// PinThisThread). For a machine of one's own; beside other busy processes kNone is better.
enum class ThreadPinning { kNone, kCores };

// Runs `body(begin, end, worker)` over contiguous parts of [0, n), one part per thread, the
// caller's among them. Part i is [i*n/P, (i+1)*n/P) for P = num_threads: the partition depends on
// nothing else, and kernels compute each output within one index, so no result depends on the
// number of threads.
//
// Waiting threads spin for some tens of microseconds before they sleep in the kernel: decode issues
// loops back to back, and an idle engine burns nothing. One caller at a time (thread-compatible);
// loops do not nest.
class ThreadPool {
 public:
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end, int worker)>;

  // Starts `num_threads` - 1 threads; at least one (the caller) takes part.
  explicit ThreadPool(int num_threads, ThreadPinning pinning = ThreadPinning::kNone);
  // Joins all threads.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Returns when every part is done. `worker` < num_threads() names the thread. Allocates nothing.
  // n = 0: no-op; n = 1 runs on the caller. Costs about a microsecond while the threads spin and
  // some tens when they sleep (benchmarks/kernels/thread_pool_bench).
  void ParallelFor(int64_t n, Body body);

  // As ParallelFor, but `body` gets one index at a time, and a thread that has done its part takes
  // half of what another has left (work stealing, Blumofe and Leiserson 1999), so that a core that
  // is slower, or is taken away for a moment, holds nobody up, while undisturbed threads each read
  // one contiguous part. For indices of a microsecond and more; n is below 2^31.
  void ParallelForStealing(int64_t n, Body body);

  // While `enabled`, loops are timed (three clock reads a loop); loop_times() is the sum
  // since then. Not during a loop.
  struct LoopTimes {
    int64_t num_loops = 0;
    int64_t wall_ns = 0;    // of the caller, from the start of a loop to its end
    int64_t waited_ns = 0;  // of that, when the caller was done and others were not
  };
  void TimeLoops(bool enabled) { is_timed_ = enabled, times_ = {}; }
  const LoopTimes& loop_times() const { return times_; }

 private:
  static constexpr int kLine = 64;  // bytes: what is written by different threads lies apart

  // What a thread of a stealing loop has left: first index in the high half, end in the low.
  struct alignas(kLine) Share {
    std::atomic<uint64_t> range{0};
  };

  void WorkerLoop(int worker);
  void Run(int64_t n, Body body);
  void RunTimed();
  void RunPart(int worker);
  void RunShares(int worker);
  // Moves half of another's share to `worker`, whose own is empty. False: nobody has any left.
  bool Steal(int worker);

  const int num_threads_;
  bool is_timed_ = false;
  LoopTimes times_;
  // Bumped once per loop; workers wait for the bump. Publishes the members up to stopping_.
  alignas(kLine) WaitableWord generation_;
  int64_t n_ = 0;
  const Body* body_ = nullptr;
  bool stealing_ = false;
  bool stopping_ = false;
  std::vector<Share> shares_;                // of a stealing loop, one per thread
  alignas(kLine) WaitableWord num_pending_;  // workers still inside the loop
  std::vector<std::thread> threads_;
};

}  // namespace oneai::kernels
