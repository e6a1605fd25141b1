// A word in memory that threads wait on until it changes: spinning at first, then asleep in the
// kernel.
#pragma once

#include <atomic>
#include <cstdint>

namespace oneai::kernels {

// Any number of waiters and changers at once. A change costs no system call while nobody sleeps.
// Waiting never offers the processor to others while it spins: on a busy machine that would cost a
// whole round of their time slices, whereas a thread that is woken from sleep is run at once.
class WaitableWord {
 public:
  // Everything written before a change is visible to those who saw the changed value. Add() returns
  // the value before. Neither wakes anybody.
  void Set(uint32_t value) { word_.store(value, std::memory_order_seq_cst); }
  uint32_t Add(uint32_t delta) { return word_.fetch_add(delta, std::memory_order_seq_cst); }
  // Wakes those who sleep, if any.
  void Wake();

  // Returns the value once it differs from `old`, or once it is `wanted`. `spins` pauses of some
  // tens of nanoseconds come before the first sleep.
  uint32_t AwaitOtherThan(uint32_t old, int spins);
  void Await(uint32_t wanted, int spins);

 private:
  template <typename IsDone>
  uint32_t AwaitValue(int spins, IsDone is_done);

  std::atomic<uint32_t> word_{0};
  std::atomic<uint32_t> num_asleep_{0};  // that sleep or are about to
};

}  // namespace oneai::kernels
