// A waiter announces that it sleeps before it looks at the word a last time, the changer changes
// the word before it looks for sleepers, and all four are sequentially consistent: one of them sees
// the other. The futex itself compares the word again. Source: Drepper, "Futexes are tricky", 2011.
// (std::atomic::wait would do, but libstdc++ yields the processor before it sleeps.)
#include "kernels/thread_pool/waitable_word.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "kernels/thread_pool/spin_pause.h"

namespace oneai::kernels {

void WaitableWord::Wake() {
  if (num_asleep_.load(std::memory_order_seq_cst) == 0) return;
  static_assert(sizeof(word_) == sizeof(uint32_t));
  syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

template <typename IsDone>
uint32_t WaitableWord::AwaitValue(int spins, IsDone is_done) {
  for (int i = 0; i < spins; ++i) {
    const uint32_t value = word_.load(std::memory_order_acquire);
    if (is_done(value)) return value;
    SpinPause();
  }
  num_asleep_.fetch_add(1, std::memory_order_seq_cst);
  uint32_t value;
  while (!is_done(value = word_.load(std::memory_order_seq_cst))) {
    // Returns early for signals and when the word has changed meanwhile.
    syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
  }
  num_asleep_.fetch_sub(1, std::memory_order_relaxed);
  return value;
}

uint32_t WaitableWord::AwaitOtherThan(uint32_t old, int spins) {
  return AwaitValue(spins, [old](uint32_t value) { return value != old; });
}

void WaitableWord::Await(uint32_t wanted, int spins) {
  AwaitValue(spins, [wanted](uint32_t value) { return value == wanted; });
}

}  // namespace oneai::kernels
