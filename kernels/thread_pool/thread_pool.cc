// A loop is published by bumping `generation_`. Workers spin on it for a while, because decode
// issues hundreds of loops per token a few microseconds apart and a futex wake costs more than such
// a loop; then they sleep. The caller waits for `num_pending_` in the same way, but spins longer:
// it is needed next, and the others are at work.
#include "kernels/thread_pool/thread_pool.h"

#include <algorithm>
#include <chrono>

#include "kernels/thread_pool/cpu_topology.h"

namespace oneai::kernels {
namespace {

// A pause takes 10 to 40 ns: some tens of microseconds for a worker, some hundreds for the caller.
constexpr int kWorkerSpins = 2000;
constexpr int kCallerSpins = 10000;

int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ThreadPool::ThreadPool(int num_threads, ThreadPinning pinning)
    : num_threads_(std::max(1, num_threads)) {
  std::vector<int> cores;
  if (pinning == ThreadPinning::kCores) cores = ReadCpuTopology().Cores();
  threads_.reserve(num_threads_ - 1);
  for (int worker = 1; worker < num_threads_; ++worker) {
    const int cpu = cores.empty() ? -1 : cores[worker % cores.size()];
    threads_.emplace_back([this, worker, cpu] {
      if (cpu >= 0) PinThisThread(cpu);  // refused: slower, not wrong
      WorkerLoop(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  generation_.Add(1);
  generation_.Wake();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::RunGuided(int worker) {
  int64_t begin = next_.load(std::memory_order_relaxed);
  while (begin < n_) {
    const int64_t part = std::max<int64_t>(1, (n_ - begin) / (2 * num_threads_));
    if (!next_.compare_exchange_weak(begin, begin + part, std::memory_order_relaxed)) continue;
    (*body_)(begin, begin + part, worker);
    begin = next_.load(std::memory_order_relaxed);
  }
}

void ThreadPool::RunPart(int worker) {
  if (guided_) return RunGuided(worker);
  const int64_t begin = worker * n_ / num_threads_;
  const int64_t end = (worker + 1) * n_ / num_threads_;
  if (begin < end) (*body_)(begin, end, worker);
}

void ThreadPool::ParallelFor(int64_t n, Body body) { Run(n, body, false); }

void ThreadPool::ParallelForGuided(int64_t n, Body body) { Run(n, body, true); }

void ThreadPool::Run(int64_t n, Body body, bool guided) {
  if (n <= 0) return;
  if (num_threads_ == 1 || n == 1) {
    body(0, n, 0);
    return;
  }
  n_ = n;
  body_ = &body;
  guided_ = guided;
  next_.store(0, std::memory_order_relaxed);
  num_pending_.Set(static_cast<uint32_t>(num_threads_ - 1));
  generation_.Add(1);
  generation_.Wake();
  if (is_timed_) return RunTimed();
  RunPart(0);
  num_pending_.Await(0, kCallerSpins);
}

void ThreadPool::RunTimed() {
  const int64_t start = NowNs();
  RunPart(0);
  const int64_t done = NowNs();
  num_pending_.Await(0, kCallerSpins);
  const int64_t end = NowNs();
  ++times_.num_loops;
  times_.wall_ns += end - start;
  times_.waited_ns += end - done;
}

void ThreadPool::WorkerLoop(int worker) {
  uint32_t seen = 0;
  for (;;) {
    seen = generation_.AwaitOtherThan(seen, kWorkerSpins);
    if (stopping_) return;
    RunPart(worker);
    if (num_pending_.Add(~0u) == 1) num_pending_.Wake();
  }
}

}  // namespace oneai::kernels
