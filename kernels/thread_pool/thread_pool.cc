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

constexpr uint64_t Range(uint64_t begin, uint64_t end) { return begin << 32 | end; }
constexpr uint64_t Begin(uint64_t range) { return range >> 32; }
constexpr uint64_t End(uint64_t range) { return range & 0xffffffffu; }

int64_t NowNs() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ThreadPool::ThreadPool(int num_threads, ThreadPinning pinning)
    : num_threads_(std::max(1, num_threads)), shares_(std::max(1, num_threads)) {
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

bool ThreadPool::Steal(int worker) {
  for (int i = 1; i < num_threads_; ++i) {
    std::atomic<uint64_t>& victim = shares_[(worker + i) % num_threads_].range;
    uint64_t range = victim.load(std::memory_order_relaxed);
    while (Begin(range) < End(range)) {
      const uint64_t middle = Begin(range) + (End(range) - Begin(range)) / 2;
      if (!victim.compare_exchange_weak(range, Range(Begin(range), middle),
                                        std::memory_order_relaxed)) {
        continue;
      }
      shares_[worker].range.store(Range(middle, End(range)), std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

// Relaxed, because indices share no data: the loop's start and end order everything else.
void ThreadPool::RunShares(int worker) {
  std::atomic<uint64_t>& own = shares_[worker].range;
  do {
    uint64_t range = own.load(std::memory_order_relaxed);
    while (Begin(range) < End(range)) {
      const uint64_t index = Begin(range);
      if (!own.compare_exchange_weak(range, Range(index + 1, End(range)),
                                     std::memory_order_relaxed)) {
        continue;
      }
      (*body_)(static_cast<int64_t>(index), static_cast<int64_t>(index) + 1, worker);
      range = own.load(std::memory_order_relaxed);
    }
  } while (Steal(worker));
}

void ThreadPool::RunPart(int worker) {
  if (stealing_) return RunShares(worker);
  const int64_t begin = worker * n_ / num_threads_;
  const int64_t end = (worker + 1) * n_ / num_threads_;
  if (begin < end) (*body_)(begin, end, worker);
}

void ThreadPool::ParallelFor(int64_t n, Body body) {
  stealing_ = false;
  Run(n, body);
}

void ThreadPool::ParallelForStealing(int64_t n, Body body) {
  stealing_ = true;
  for (int worker = 0; worker < num_threads_; ++worker) {
    const auto begin = static_cast<uint64_t>(worker * n / num_threads_);
    const auto end = static_cast<uint64_t>((worker + 1) * n / num_threads_);
    shares_[worker].range.store(Range(begin, end), std::memory_order_relaxed);
  }
  Run(n, body);
}

void ThreadPool::Run(int64_t n, Body body) {
  if (n <= 0) return;
  if (num_threads_ == 1 || n == 1) {
    body(0, n, 0);
    return;
  }
  n_ = n;
  body_ = &body;
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
