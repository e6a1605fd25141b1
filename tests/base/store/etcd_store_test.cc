// EtcdStore against real three-member clusters: the contract, then what only a cluster can do to
// it.
#include "base/store/etcd_store.h"

#include <atomic>
#include <random>
#include <set>

#include "absl/time/clock.h"
#include "base/files/files.h"
#include "tests/base/store/etcd_cluster.h"
#include "tests/base/store/store_conformance.h"

namespace oneai {
namespace {

using ::testing::AllOf;
using testing::EtcdCluster;
using ::testing::HasSubstr;

// One cluster for all tests that do it no harm. Large enough for the largest value.
EtcdCluster& SharedCluster() {
  static EtcdCluster cluster({.flags = {"--max-request-bytes", "9437184"}});
  return cluster;
}

std::unique_ptr<Store> OpenIn(const EtcdCluster& cluster, const std::string& prefix) {
  auto store = EtcdStore::Open(cluster.ClientOptions(prefix));
  EXPECT_OK(store);
  return store.ok() ? *std::move(store) : nullptr;
}

std::vector<StoreFactory> Factories() {
  if (!EtcdCluster::IsInstalled()) return {};
  return {{"Etcd", [](const std::filesystem::path& dir) {
             return OpenIn(SharedCluster(), Sha256Hex(dir.string()).substr(0, 16));
           }}};
}

}  // namespace

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformanceTest);
INSTANTIATE_TEST_SUITE_P(Stores, StoreConformanceTest, ::testing::ValuesIn(Factories()),
                         StoreFactoryName);

namespace {

class EtcdStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!EtcdCluster::IsInstalled()) GTEST_SKIP() << EtcdCluster::kNoEtcd;
  }
};

TEST_F(EtcdStoreTest, RefusesWhatIsNoAddressOrPrefix) {
  EtcdOptions options;
  EXPECT_THAT(EtcdStore::Open(options), StatusIs(absl::StatusCode::kInvalidArgument, _));
  options.endpoints = {"http://127.0.0.1:2379"};
  EXPECT_THAT(EtcdStore::Open(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")));
  options.endpoints = {"127.0.0.1:2379"};
  options.prefix = "a b";
  EXPECT_THAT(EtcdStore::Open(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("prefix")));
}

TEST_F(EtcdStoreTest, NamesTheMembersThatDoNotAnswer) {
  EtcdOptions options;
  options.endpoints = {"127.0.0.1:1", "127.0.0.1:2"};
  options.call_timeout = absl::Milliseconds(300);
  EXPECT_THAT(EtcdStore::Open(options),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("127.0.0.1:1, 127.0.0.1:2")));
}

TEST_F(EtcdStoreTest, PrefixesKeepFabricsApart) {
  const auto left = OpenIn(SharedCluster(), "apart/left");
  const auto right = OpenIn(SharedCluster(), "apart/left2");
  ASSERT_OK(left->Commit(Transaction().Put("k", "left")));
  ASSERT_OK(right->Commit(Transaction().Put("k", "right")));
  EXPECT_EQ(left->Get("k")->value, "left");
  EXPECT_EQ(left->List("")->items.size(), 1u);
  EXPECT_EQ(right->Range("", "", 0, true)->items.size(), 1u);
}

TEST_F(EtcdStoreTest, ReadsLongListsAsOneSnapshot) {
  const auto store = OpenIn(SharedCluster(), "long");
  constexpr int kNumKeys = 2500;  // three pages
  for (int first = 0; first < kNumKeys; first += 100) {
    Transaction transaction;
    for (int i = first; i < first + 100; ++i) transaction.Put(absl::StrCat("k", 10'000 + i), "v");
    ASSERT_OK(store->Commit(transaction));
  }
  ASSERT_OK_AND_ASSIGN(const RangeResult all, store->List("k"));
  ASSERT_EQ(all.items.size(), static_cast<size_t>(kNumKeys));
  EXPECT_EQ(all.items[1999].key, "k11999");
  EXPECT_EQ(store->List("k", 1500)->items.size(), 1500u);
  ASSERT_OK_AND_ASSIGN(const RangeResult newest, store->Range("k", "l", 2, true));
  EXPECT_EQ(newest.items[1].key, "k12498");
  EXPECT_EQ(store->Range("k", "l", 0, true)->items.back().key, "k10000");
}

TEST_F(EtcdStoreTest, TwoProcessesSeeEachOthersCommits) {
  const auto first = OpenIn(SharedCluster(), "two");
  const auto second = OpenIn(SharedCluster(), "two");
  WatchRecorder recorder;
  const auto handle = second->Watch("", recorder.Callback());
  ASSERT_OK_AND_ASSIGN(const int64_t revision, first->Commit(Transaction().Put("k", "1")));
  EXPECT_THAT(recorder.Await(1), ElementsAre(absl::StrCat(revision, " put k=1")));
  EXPECT_THAT(second->Commit(Transaction().If("k", 0).Put("k", "2")),
              StatusIs(absl::StatusCode::kAborted, _));
  EXPECT_OK(second->Commit(Transaction().If("k", revision).Put("k", "2")));
}

TEST_F(EtcdStoreTest, SaysWhichFlagLimitsATransaction) {
  EtcdCluster cluster({.num_members = 1});
  const auto store = OpenIn(cluster, "limits");
  EXPECT_THAT(store->Commit(Transaction().Put("k", std::string(2 << 20, 'v'))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--max-request-bytes")));
  Transaction many;
  for (int i = 0; i < 200; ++i) many.Put(absl::StrCat("k", i), "v");
  EXPECT_THAT(store->Commit(many),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--max-txn-ops")));
  EXPECT_OK(store->Commit(Transaction().Put("k", "v")));
}

TEST_F(EtcdStoreTest, AFullEtcdRefusesAndSaysSo) {
  EtcdCluster cluster({.num_members = 1, .flags = {"--quota-backend-bytes", "4194304"}});
  const auto store = OpenIn(cluster, "full");
  ASSERT_OK(store->Commit(Transaction().Put("kept", "1")));
  absl::Status status;
  for (int i = 0; i < 40 && status.ok(); ++i)
    status =
        store->Commit(Transaction().Put(absl::StrCat("k", i), std::string(1 << 20, 'v'))).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("NOSPACE")));
  EXPECT_THAT(store->Commit(Transaction().Put("kept", "2")),
              StatusIs(absl::StatusCode::kResourceExhausted, _));
  EXPECT_EQ(store->Get("kept")->value, "1");
}

TEST_F(EtcdStoreTest, SpeaksMutualTls) {
  EtcdCluster cluster({.num_members = 1, .tls = true});
  const auto store = OpenIn(cluster, "tls");
  EXPECT_OK(store->Commit(Transaction().Put("k", "v")));
  EtcdOptions stranger = cluster.ClientOptions("tls");
  const CertificateAuthority other = CertificateAuthority::Create().value();
  const KeyPair pair = other.Issue({"component", "etcd", {"localhost"}}).value();
  stranger.tls->certificate_pem = pair.certificate_pem;
  stranger.tls->private_key_pem = pair.private_key_pem;
  stranger.call_timeout = absl::Seconds(1);
  EXPECT_THAT(EtcdStore::Open(stranger), StatusIs(absl::StatusCode::kUnavailable, _));
}

// Threads count up under compare while members die, sleep and come back. An increment that is lost
// or made twice shows in the sum; a commit that reports a refusal although it landed shows as a
// key that exists without having been acknowledged.
TEST_F(EtcdStoreTest, CommitsHappenExactlyOnceWhileMembersDieAndSleep) {
  EtcdCluster cluster;
  EtcdOptions options = cluster.ClientOptions("once");
  options.attempt_timeout = absl::Milliseconds(300);  // many tries break
  options.call_timeout = absl::Seconds(60);
  const std::unique_ptr<Store> store = EtcdStore::Open(options).value();
  ASSERT_OK(store->Commit(Transaction().Put("n", "0")));
  constexpr int kNumThreads = 8;
  std::atomic<bool> stop{false};
  std::atomic<int64_t> num_made{0}, num_unknown{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kNumThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        const absl::StatusOr<KeyValue> item = store->Get("n");
        if (!item.ok()) continue;
        const auto result = store->Commit(Transaction()
                                              .If("n", item->mod_revision)
                                              .Put("n", absl::StrCat(std::stoll(item->value) + 1))
                                              .Put(absl::StrCat("by/", t, "/", i), ""));
        if (result.ok()) {
          ++num_made;
        } else if (!absl::IsAborted(result.status())) {
          ++num_unknown;
          ADD_FAILURE() << result.status();
        }
      }
    });
  }
  std::mt19937 random(11);
  for (int round = 0; round < 8; ++round) {
    const int victim = round % 2 == 0 ? cluster.AwaitLeader() : static_cast<int>(random() % 3);
    if (round % 4 < 2) {
      cluster.Pause(victim);
      absl::SleepFor(absl::Milliseconds(1200));
      cluster.Resume(victim);
    } else {
      cluster.Kill(victim);
      absl::SleepFor(absl::Milliseconds(600));
      cluster.Restart(victim);
    }
    absl::SleepFor(absl::Milliseconds(400));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(num_made.load(), 0);
  ASSERT_OK_AND_ASSIGN(const KeyValue counter, store->Get("n"));
  EXPECT_EQ(counter.value, absl::StrCat(num_made.load()));
  EXPECT_EQ(static_cast<int64_t>(store->List("by/")->items.size()), num_made.load());
}

// A try sleeps in the socket of a paused member; the commit is refused meanwhile, for good.
TEST_F(EtcdStoreTest, ARefusalIsFinalAlsoForTriesThatSleep) {
  EtcdCluster cluster;
  EtcdOptions options = cluster.ClientOptions("final");
  const auto other = EtcdStore::Open(options).value();
  options.attempt_timeout = absl::Milliseconds(400);
  // The first try goes to the member that sleeps.
  const int sleeper = (cluster.AwaitLeader() + 1) % 3;
  std::swap(options.endpoints[0], options.endpoints[static_cast<size_t>(sleeper)]);
  const auto store = EtcdStore::Open(options).value();
  ASSERT_OK(store->Commit(Transaction().Put("warm", "")));
  ASSERT_OK(other->Commit(Transaction().Put("k", "theirs")));
  cluster.Pause(sleeper);
  EXPECT_THAT(store->Commit(Transaction().If("k", 0).Put("k", "ours")),
              StatusIs(absl::StatusCode::kAborted, _));
  // Now the compare would hold.
  ASSERT_OK(other->Commit(Transaction().Delete("k")));
  cluster.Resume(sleeper);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(other->Get("k"), StatusIs(absl::StatusCode::kNotFound, _));
    absl::SleepFor(absl::Milliseconds(50));
  }
}

TEST_F(EtcdStoreTest, AWatchGoesOnWhenItsMemberDies) {
  EtcdCluster cluster;
  const auto store = OpenIn(cluster, "watch");
  WatchRecorder recorder;
  const auto handle = store->Watch("", recorder.Callback());
  std::vector<std::string> expected;
  for (int i = 0; i < 12; ++i) {
    if (i % 4 == 2) cluster.Kill(i % 3);
    if (i % 4 == 0 && i > 0) cluster.Restart((i - 2) % 3);
    ASSERT_OK_AND_ASSIGN(const int64_t revision,
                         store->Commit(Transaction().Put("k", absl::StrCat(i))));
    expected.push_back(absl::StrCat(revision, " put k=", i));
  }
  EXPECT_EQ(recorder.Await(expected.size()), expected);
}

TEST_F(EtcdStoreTest, AWatchBehindTheHistoryGetsTheNewestState) {
  EtcdCluster cluster;
  EtcdOptions options = cluster.ClientOptions("behind");
  options.compact_every = absl::Seconds(1);
  const auto store = EtcdStore::Open(options).value();
  ASSERT_OK(store->Commit(Transaction().Put("gone", "1").Put("kept", "1")));
  absl::Notification blocked, released;
  absl::Mutex mu;
  std::vector<std::string> lines;
  const auto handle = store->Watch("", [&](int64_t, const std::vector<WatchEvent>& events) {
    if (!blocked.HasBeenNotified()) blocked.Notify();
    released.WaitForNotification();
    absl::MutexLock lock(&mu);
    for (const WatchEvent& event : events) {
      lines.push_back(absl::StrCat(event.kind == WatchEvent::Kind::kPut ? "put " : "del ",
                                   event.item.key, "=", event.item.value));
    }
  });
  ASSERT_OK(store->Commit(Transaction().Put("first", "1")));
  blocked.WaitForNotification();
  // The stream breaks while its watcher sleeps, and history moves on: two compactions later
  // nothing before them is left.
  for (int i = 0; i < 3; ++i) cluster.Kill(i);
  for (int i = 0; i < 3; ++i) cluster.Restart(i);
  cluster.AwaitLeader();
  ASSERT_OK(store->Commit(Transaction().Delete("gone").Put("kept", "2").Put("short", "")));
  ASSERT_OK(store->Commit(Transaction().Put("kept", "3").Delete("short")));
  for (int i = 0; i < 45; ++i) {
    ASSERT_OK(store->Commit(Transaction().Put("other", absl::StrCat(i))));
    absl::SleepFor(absl::Milliseconds(100));
  }
  released.Notify();
  ASSERT_OK(store->Commit(Transaction().Put("last", "1")));
  const auto has_last = [&] { return std::count(lines.begin(), lines.end(), "put last=1") == 1; };
  absl::MutexLock lock(&mu);
  ASSERT_TRUE(mu.AwaitWithTimeout(absl::Condition(&has_last), absl::Seconds(20)));
  EXPECT_EQ(lines.front(), "put first=1");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "del gone="), 1);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "put kept=3"), 1);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "put kept=2"), 0);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "put other=44"), 1);
}

// With a compaction every second slots are swept while they are in use and while they are idle.
TEST_F(EtcdStoreTest, SweepingSlotsDisturbsNoCommit) {
  EtcdOptions options = SharedCluster().ClientOptions("sweep");
  options.compact_every = absl::Seconds(1);
  const auto store = EtcdStore::Open(options).value();
  int64_t made = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 16; ++t) {
      threads.emplace_back([&store, round, t] {
        EXPECT_OK(store->Commit(
            Transaction().If(absl::StrCat(round, "/", t), 0).Put(absl::StrCat(round, "/", t), "")));
      });
      ++made;
    }
    for (std::thread& thread : threads) thread.join();
    absl::SleepFor(absl::Milliseconds(2500));
  }
  EXPECT_EQ(static_cast<int64_t>(store->List("")->items.size()), made);
}

}  // namespace
}  // namespace oneai
