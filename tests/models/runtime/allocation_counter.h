// Linking allocation_counter.cc replaces operator new by one that counts.
#pragma once

#include <cstdint>

namespace oneai::testing {

// Allocations through operator new of this process so far, by any thread.
int64_t NumAllocations();

}  // namespace oneai::testing
