// In a file of its own: inlined into a caller, the compiler takes the pair below for a mismatch.
#include "tests/models/runtime/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> num_allocations = 0;
}

void* operator new(size_t bytes) {
  ++num_allocations;
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace oneai::testing {

int64_t NumAllocations() { return num_allocations; }

}  // namespace oneai::testing
