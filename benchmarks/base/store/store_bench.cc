// Durable commits a second: every commit is acknowledged after fsync, and commits that wait share
// one. Thread counts are the numbers of concurrent writers. Compare with the disk's own fsync rate
// (BM_Fsync), which bounds one writer. BM_EtcdCommit writes the same through three members of etcd
// on this machine and disk, where it is installed.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/store/etcd_store.h"
#include "base/store/sqlite_store.h"
#include "tests/base/store/etcd_cluster.h"

namespace oneai {
namespace {

std::filesystem::path BenchDir() {
  return std::filesystem::temp_directory_path() / absl::StrCat("oneai-bench-", getpid());
}

void BM_Fsync(benchmark::State& state) {
  std::filesystem::create_directories(BenchDir());
  const int fd = open((BenchDir() / "fsync").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::string page(4096, 'p');
  for (auto _ : state) {
    if (pwrite(fd, page.data(), page.size(), 0) < 0 || fsync(fd) != 0) state.SkipWithError("fsync");
  }
  close(fd);
  state.SetItemsProcessed(state.iterations());
}

// Puts a job record, about 500 bytes, until the benchmark has enough. The first thread sets
// `store`; the loop begins when all threads are there.
void CommitRecords(const std::unique_ptr<Store>& store, std::atomic<int64_t>& next,
                   benchmark::State& state) {
  const std::string value(500, 'v');
  for (auto _ : state) {
    Transaction transaction;
    transaction.Put(absl::StrCat("jobs/", next++ % 10'000), value);
    if (!store->Commit(transaction).ok()) state.SkipWithError("commit failed");
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_Commit(benchmark::State& state) {
  static std::unique_ptr<Store> store;
  static std::atomic<int64_t> next;
  if (state.thread_index() == 0) {
    auto opened = SqliteStore::Open(BenchDir() / "store.db");
    if (!opened.ok()) return state.SkipWithError(opened.status().ToString().c_str());
    store = *std::move(opened);
    next = 0;
  }
  CommitRecords(store, next, state);
  if (state.thread_index() == 0) {
    store.reset();
    std::filesystem::remove_all(BenchDir());
  }
}

void BM_EtcdCommit(benchmark::State& state) {
  static std::unique_ptr<Store> store;
  static std::unique_ptr<testing::EtcdCluster> cluster;
  static std::atomic<int64_t> next;
  if (!testing::EtcdCluster::IsInstalled())
    return state.SkipWithError(testing::EtcdCluster::kNoEtcd);
  if (state.thread_index() == 0) {
    cluster = std::make_unique<testing::EtcdCluster>();
    auto opened = EtcdStore::Open(cluster->ClientOptions("bench"));
    if (!opened.ok()) return state.SkipWithError(opened.status().ToString().c_str());
    store = *std::move(opened);
    next = 0;
  }
  CommitRecords(store, next, state);
  if (state.thread_index() == 0) {
    store.reset();
    cluster.reset();
  }
}

BENCHMARK(BM_Fsync)->UseRealTime();
BENCHMARK(BM_Commit)->Threads(1)->Threads(16)->Threads(64)->UseRealTime();
BENCHMARK(BM_EtcdCommit)->Threads(1)->Threads(16)->Threads(64)->Threads(256)->UseRealTime();

}  // namespace
}  // namespace oneai

BENCHMARK_MAIN();
