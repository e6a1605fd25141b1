// What every kernel call needs besides its arguments: threads and scratch memory.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/thread_pool/shared_pages.h"
#include "kernels/thread_pool/thread_pool.h"

namespace oneai::kernels {

// Owned by one engine or test; one kernel call at a time (thread-compatible).
class KernelContext {
 public:
  // `num_threads` <= 0 means CpuTopology::DefaultThreads(): one per physical core that this process
  // may run on.
  explicit KernelContext(int num_threads, ThreadPinning pinning = ThreadPinning::kNone);

  ThreadPool& threads() { return threads_; }

  // Bytes behind what Scratch() was asked for that may be read too, for units that load whole
  // tiles.
  static constexpr size_t kReadableBeyond = 1024;

  // Returns at least `bytes` bytes, aligned to 64, contents undefined, valid until the next call.
  // Grows and never shrinks, so that a steady workload stops allocating after its first step.
  std::byte* Scratch(size_t bytes);

  // Memory for weights, which may outlive this context.
  SharedPages& pages() { return pages_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  ThreadPool threads_;
  SharedPages pages_;
  std::unique_ptr<std::byte[], Free> scratch_;
  size_t scratch_bytes_ = 0;
};

}  // namespace oneai::kernels
