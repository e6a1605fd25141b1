// Holds what ThreadSanitizer is told of Abseil's locks to account: with a lock there is no race,
// whichever way it is taken, and a race beside a lock is still seen. Only in the preset `tsan`.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace oneai {
namespace {

constexpr int kRounds = 1000;
constexpr absl::Duration kLong = absl::Minutes(1);

// A counter without a lock of its own.
struct Shared {
  absl::Mutex mu;
  absl::Mutex other;
  absl::CondVar changed;
  int64_t value = 0;
};

void Together(const std::function<void()>& one, const std::function<void()>& two) {
  std::thread thread(one);
  two();
  thread.join();
}

void CountUnder(absl::Mutex& mu, int64_t& value) {
  for (int i = 0; i < kRounds; ++i) {
    absl::MutexLock lock(&mu);
    ++value;
  }
}

// Runs `one` and `two` in two threads in a process of their own, which ends at the first report.
#define EXPECT_REPORT(kind, one, two) \
  EXPECT_EXIT((Together(one, two), std::exit(0)), ::testing::ExitedWithCode(66), kind)

class TsanAbslMutexTest : public ::testing::Test {
 protected:
  TsanAbslMutexTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const char* options = std::getenv("TSAN_OPTIONS");
    setenv("TSAN_OPTIONS",
           absl::StrCat(options == nullptr ? "" : options, " halt_on_error=1 exitcode=66").c_str(),
           1);
  }
  Shared shared_;
};

TEST_F(TsanAbslMutexTest, LockOrders) {
  Together([&] { CountUnder(shared_.mu, shared_.value); },
           [&] { CountUnder(shared_.mu, shared_.value); });
  EXPECT_EQ(shared_.value, 2 * kRounds);
}

TEST_F(TsanAbslMutexTest, ReadersSeeWhatAWriterLeft) {
  int64_t seen = 0;
  Together([&] { CountUnder(shared_.mu, shared_.value); },
           [&] {
             for (int i = 0; i < kRounds; ++i) {
               absl::ReaderMutexLock lock(&shared_.mu);
               seen = std::max(seen, shared_.value);
             }
           });
  EXPECT_LE(seen, kRounds);
}

TEST_F(TsanAbslMutexTest, TriedLocksOrder) {
  const auto count = [&] {
    for (int i = 0; i < kRounds; ++i) {
      if (!shared_.mu.TryLock()) continue;
      ++shared_.value;
      shared_.mu.Unlock();
    }
  };
  Together(count, count);
  EXPECT_GE(shared_.value, kRounds);
}

TEST_F(TsanAbslMutexTest, ConditionsOrder) {
  // Two threads take turns: one makes the number odd, the other even.
  const auto turns = [&](int64_t parity) {
    for (int i = 0; i < kRounds; ++i) {
      const auto mine = [&] { return shared_.value % 2 == parity; };
      if (i % 3 == 0) {
        shared_.mu.LockWhen(absl::Condition(&mine));
      } else if (i % 3 == 1) {
        ASSERT_TRUE(shared_.mu.LockWhenWithTimeout(absl::Condition(&mine), kLong));
      } else {
        shared_.mu.Lock();
        shared_.mu.Await(absl::Condition(&mine));
      }
      ++shared_.value;
      shared_.mu.Unlock();
    }
  };
  Together([&] { turns(0); }, [&] { turns(1); });
  EXPECT_EQ(shared_.value, 2 * kRounds);
}

TEST_F(TsanAbslMutexTest, CondVarsOrder) {
  const auto turns = [&](int64_t parity) {
    for (int i = 0; i < kRounds; ++i) {
      absl::MutexLock lock(&shared_.mu);
      while (shared_.value % 2 != parity) {
        if (i % 2 == 0) shared_.changed.Wait(&shared_.mu);
        if (i % 2 == 1) shared_.changed.WaitWithTimeout(&shared_.mu, kLong);
      }
      ++shared_.value;
      shared_.changed.SignalAll();
    }
  };
  Together([&] { turns(0); }, [&] { turns(1); });
  EXPECT_EQ(shared_.value, 2 * kRounds);
}

TEST_F(TsanAbslMutexTest, NotificationsAndCountersOrder) {
  absl::Notification told;
  Together([&] { shared_.value = 1, told.Notify(); },
           [&] { told.WaitForNotification(), ++shared_.value; });
  absl::BlockingCounter counter(1);
  Together([&] { ++shared_.value, counter.DecrementCount(); },
           [&] { counter.Wait(), ++shared_.value; });
  absl::Notification seen;
  Together([&] { ++shared_.value, seen.Notify(); },
           [&] {
             while (!seen.HasBeenNotified()) std::this_thread::yield();
             ++shared_.value;
           });
  EXPECT_EQ(shared_.value, 6);
}

TEST_F(TsanAbslMutexTest, NoLockIsARace) {
  EXPECT_REPORT(
      "data race", [&] { CountUnder(shared_.mu, shared_.value); },
      [&] {
        for (int i = 0; i < kRounds; ++i) ++shared_.value;
      });
}

TEST_F(TsanAbslMutexTest, AnotherLockIsARace) {
  EXPECT_REPORT(
      "data race", [&] { CountUnder(shared_.mu, shared_.value); },
      [&] { CountUnder(shared_.other, shared_.value); });
}

TEST_F(TsanAbslMutexTest, WhatFollowsTheUnlockIsARace) {
  const auto late = [&] {
    for (int i = 0; i < kRounds; ++i) {
      { absl::MutexLock lock(&shared_.mu); }
      ++shared_.value;
    }
  };
  EXPECT_REPORT("data race", late, late);
}

TEST_F(TsanAbslMutexTest, AWriteUnderAReadersLockIsARace) {
  const auto write = [&] {
    for (int i = 0; i < kRounds; ++i) {
      absl::ReaderMutexLock lock(&shared_.mu);
      ++shared_.value;
    }
  };
  EXPECT_REPORT("data race", write, write);
}

TEST_F(TsanAbslMutexTest, WhatFollowsTheNotificationIsARace) {
  absl::Notification told;
  EXPECT_REPORT("data race", ([&] { told.Notify(), shared_.value = 1; }),
                ([&] { told.WaitForNotification(), ++shared_.value; }));
}

TEST_F(TsanAbslMutexTest, LocksInTwoOrdersAreReported) {
  absl::Notification first_done;
  const auto both = [](absl::Mutex& outer, absl::Mutex& inner) {
    absl::MutexLock lock(&outer);
    absl::MutexLock within(&inner);
  };
  EXPECT_REPORT("lock-order-inversion",
                ([&] { both(shared_.mu, shared_.other), first_done.Notify(); }),
                ([&] { first_done.WaitForNotification(), both(shared_.other, shared_.mu); }));
}

}  // namespace
}  // namespace oneai
