#include "kernels/thread_pool/kernel_context.h"

#include <algorithm>
#include <new>

#include "kernels/thread_pool/cpu_topology.h"

namespace oneai::kernels {
namespace {
constexpr std::align_val_t kAlignment{64};
}

void KernelContext::Free::operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }

KernelContext::KernelContext(int num_threads, ThreadPinning pinning)
    : threads_(num_threads > 0 ? num_threads : ReadCpuTopology().DefaultThreads(), pinning) {}

std::byte* KernelContext::Scratch(size_t bytes) {
  if (bytes > scratch_bytes_) {
    const size_t grown = std::max(bytes, scratch_bytes_ * 2);
    scratch_.reset();
    scratch_.reset(static_cast<std::byte*>(::operator new[](grown + kReadableBeyond, kAlignment)));
    scratch_bytes_ = grown;
  }
  return scratch_.get();
}

}  // namespace oneai::kernels
