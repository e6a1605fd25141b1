// A child commits numbered pairs of keys from several threads and reports each number that was
// acknowledged, until it is killed. Nothing reported may be missing, and no pair may be half there.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/store/sqlite_store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai {
namespace {

constexpr int kNumRounds = 20;

[[noreturn]] void CommitUntilKilled(const std::filesystem::path& path, int64_t first,
                                    int report_fd) {
  auto store = SqliteStore::Open(path);
  if (!store.ok()) _exit(3);
  std::atomic<int64_t> next{first};
  const auto work = [&] {
    while (true) {
      const int64_t n = next.fetch_add(1);
      Transaction transaction;
      transaction.Put(absl::StrCat("left/", n), absl::StrCat(n));
      transaction.Put(absl::StrCat("right/", n), absl::StrCat(n));
      if (!(*store)->Commit(transaction).ok()) _exit(4);
      if (write(report_fd, &n, sizeof(n)) != sizeof(n)) _exit(5);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  while (true) pause();
}

// Runs the child for `lifetime`; the numbers that it reported.
std::vector<int64_t> RunAndKill(const std::filesystem::path& path, int64_t first,
                                absl::Duration lifetime) {
  int fds[2];
  EXPECT_EQ(pipe(fds), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    close(fds[0]);
    CommitUntilKilled(path, first, fds[1]);
  }
  close(fds[1]);
  std::vector<int64_t> acknowledged;
  int64_t n;
  // The first report shows that the child runs; the time to die is counted from there.
  std::thread killer;
  while (read(fds[0], &n, sizeof(n)) == sizeof(n)) {
    if (acknowledged.empty()) {
      killer = std::thread([pid, lifetime] {
        absl::SleepFor(lifetime);
        kill(pid, SIGKILL);
      });
    }
    acknowledged.push_back(n);
  }
  if (killer.joinable()) killer.join();
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  close(fds[0]);
  return acknowledged;
}

TEST(StoreCrashTest, NothingAcknowledgedIsLost) {
  testing::TempDir dir;
  const auto path = dir.path() / "store.db";
  std::mt19937 random(7);
  std::vector<int64_t> acknowledged;
  int64_t revision_before = 0;
  for (int round = 0; round < kNumRounds; ++round) {
    const absl::Duration lifetime = absl::Microseconds(random() % 60'000);
    for (const int64_t n : RunAndKill(path, (round + 1) * 1'000'000, lifetime))
      acknowledged.push_back(n);
    ASSERT_OK_AND_ASSIGN(auto store, SqliteStore::Open(path));
    ASSERT_OK_AND_ASSIGN(const RangeResult left, store->List("left/"));
    ASSERT_OK_AND_ASSIGN(const RangeResult right, store->List("right/"));
    ASSERT_EQ(left.items.size(), right.items.size());
    std::set<std::string> present;
    for (const KeyValue& item : left.items) present.insert(item.value);
    for (const int64_t n : acknowledged) ASSERT_TRUE(present.contains(absl::StrCat(n))) << n;
    ASSERT_GT(store->revision(), revision_before);
    revision_before = store->revision();
  }
  EXPECT_GT(acknowledged.size(), static_cast<size_t>(kNumRounds));
}

}  // namespace
}  // namespace oneai
