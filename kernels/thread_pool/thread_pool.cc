// A loop is published by bumping `generation_`. Workers spin on it for a while, because decode
// issues hundreds of loops per token a few microseconds apart and a futex wake costs more than such
// a loop; then they sleep, so that an idle engine burns nothing.
#include "kernels/thread_pool/thread_pool.h"

#include <algorithm>

namespace oneai::kernels {
namespace {

// About 50 us of spinning before the first sleep. With fewer processors than threads, spinning only
// delays the thread that has work, so every few spins the processor is offered to others.
constexpr int kSpins = 2000;
constexpr int kSpinsPerYield = 64;

void SpinOnce(int i) {
  if (i % kSpinsPerYield == kSpinsPerYield - 1) std::this_thread::yield();
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) : num_threads_(std::max(1, num_threads)) {
  threads_.reserve(num_threads_ - 1);
  for (int worker = 1; worker < num_threads_; ++worker) {
    threads_.emplace_back([this, worker] { WorkerLoop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_.store(true);
    generation_.fetch_add(1);
    wake_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::RunPart(int worker) {
  const int64_t begin = worker * n_ / num_threads_;
  const int64_t end = (worker + 1) * n_ / num_threads_;
  if (begin < end) (*body_)(begin, end, worker);
}

void ThreadPool::ParallelFor(int64_t n, Body body) {
  if (n <= 0) return;
  if (num_threads_ == 1 || n == 1) {
    body(0, n, 0);
    return;
  }
  n_ = n;
  body_ = &body;
  num_pending_.store(num_threads_ - 1, std::memory_order_relaxed);
  // A worker announces that it sleeps before it looks at the generation a last time, and both sides
  // are sequentially consistent: either it sees this bump or it is seen here.
  generation_.fetch_add(1, std::memory_order_seq_cst);  // publishes n_ and body_
  if (num_asleep_.load(std::memory_order_seq_cst) > 0) {
    absl::MutexLock lock(&mu_);
    wake_.SignalAll();
  }
  RunPart(0);
  for (int i = 0; num_pending_.load(std::memory_order_acquire) != 0; ++i) SpinOnce(i);
}

void ThreadPool::WorkerLoop(int worker) {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i) {
      SpinOnce(i);
    }
    if (generation_.load(std::memory_order_acquire) == seen) {
      absl::MutexLock lock(&mu_);
      num_asleep_.fetch_add(1, std::memory_order_seq_cst);
      while (generation_.load(std::memory_order_seq_cst) == seen) wake_.Wait(&mu_);
      num_asleep_.fetch_sub(1, std::memory_order_relaxed);
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    RunPart(worker);
    num_pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace oneai::kernels
