#include "kernels/thread_pool/thread_pool.h"

#include <time.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/thread_pool/kernel_context.h"

namespace oneai::kernels {
namespace {

TEST(ThreadPoolTest, EveryIndexIsVisitedOnceWhateverTheThreads) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (const int64_t n : {0, 1, 2, 6, 1000}) {
      std::vector<int> visits(n, 0);
      pool.ParallelFor(n, [&](int64_t begin, int64_t end, int worker) {
        ASSERT_GE(worker, 0);
        ASSERT_LT(worker, threads);
        for (int64_t i = begin; i < end; ++i) ++visits[i];
      });
      EXPECT_EQ(visits, std::vector<int>(n, 1)) << threads << " threads, n " << n;
    }
  }
}

TEST(ThreadPoolTest, PartitionIsStatic) {
  ThreadPool pool(3);
  std::vector<int> first(100), again(100);
  const auto record = [](std::vector<int>& owner) {
    return [&owner](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) owner[i] = worker;
    };
  };
  pool.ParallelFor(100, record(first));
  pool.ParallelFor(100, record(again));
  EXPECT_EQ(first, again);
  EXPECT_EQ(first[32], 0);
  EXPECT_EQ(first[33], 1);
  EXPECT_EQ(first[66], 2);
}

TEST(ThreadPoolTest, ManyShortLoopsAndSleepsBetweenThem) {
  ThreadPool pool(4);
  int64_t sum = 0;
  std::vector<int64_t> part(4);
  for (int loop = 0; loop < 2000; ++loop) {
    // Now and then stay away for longer than the workers spin, so that they go to sleep.
    if (loop % 500 == 499) {
      const timespec wait{.tv_sec = 0, .tv_nsec = 2'000'000};
      nanosleep(&wait, nullptr);
    }
    pool.ParallelFor(4, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) part[i] = i + loop;
    });
    for (const int64_t p : part) sum += p;
  }
  EXPECT_EQ(sum, 2000 * 6 + 4 * (1999 * 2000 / 2));
}

TEST(ThreadPoolTest, PinnedThreadsComputeTheSame) {
  ThreadPool pool(3, ThreadPinning::kCores);
  std::vector<int> visits(10, 0);
  pool.ParallelFor(10, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) ++visits[i];
  });
  EXPECT_EQ(visits, std::vector<int>(10, 1));
}

// CPU seconds of the whole process.
double ProcessSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

TEST(ThreadPoolTest, IdleThreadsSleep) {
  ThreadPool pool(4);
  const auto nothing = [](int64_t, int64_t, int) {};
  pool.ParallelFor(4, nothing);
  // They spin for some tens of microseconds; a thread that went on spinning would take all of the
  // wait, three of them more than this share on any machine.
  const double before = ProcessSeconds();
  timespec wait{.tv_sec = 0, .tv_nsec = 200'000'000};
  nanosleep(&wait, nullptr);
  EXPECT_LT(ProcessSeconds() - before, 0.1);
  pool.ParallelFor(4, nothing);
}

TEST(KernelContextTest, ScratchIsAlignedAndKept) {
  KernelContext ctx(1);
  std::byte* const large = ctx.Scratch(1000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % 64, 0u);
  EXPECT_EQ(ctx.Scratch(10), large);
}

TEST(ThreadPoolTest, AStealingLoopCoversEveryIndexOnce) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    for (const int64_t n : {0, 1, 2, 7, 64, 1000}) {
      std::vector<std::atomic<int>> times(static_cast<size_t>(n));
      pool.ParallelForStealing(n, [&](int64_t begin, int64_t end, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, num_threads);
        EXPECT_LT(begin, end);
        for (int64_t i = begin; i < end; ++i) ++times[static_cast<size_t>(i)];
      });
      for (const std::atomic<int>& count : times) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPoolTest, AThreadThatIsHeldUpLosesItsPart) {
  ThreadPool pool(2);
  std::atomic<int> done = 0;
  // Index 0 ends after all others, which only the other thread can have done.
  pool.ParallelForStealing(100, [&](int64_t begin, int64_t, int) {
    while (begin == 0 && done < 99) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, 100);
}

}  // namespace
}  // namespace oneai::kernels
