// The contract of Store as a test suite. An implementation adds one file:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformanceTest, ::testing::Values(StoreFactory{...}),
//   StoreFactoryName);
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/store/store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai {

struct StoreFactory {
  std::string name;
  // Opens the store whose state lives in `dir`; a second call after the first store is gone opens
  // the same one.
  std::function<std::unique_ptr<Store>(const std::filesystem::path& dir)> open;
  bool is_durable = true;
};

inline std::string StoreFactoryName(const ::testing::TestParamInfo<StoreFactory>& info) {
  return info.param.name;
}

// Collects what a watch delivers.
class WatchRecorder {
 public:
  std::function<void(int64_t, const std::vector<WatchEvent>&)> Callback() {
    return [this](int64_t revision, const std::vector<WatchEvent>& events) {
      absl::MutexLock lock(&mu_);
      for (const WatchEvent& event : events) {
        lines_.push_back(absl::StrCat(revision,
                                      event.kind == WatchEvent::Kind::kPut ? " put " : " del ",
                                      event.item.key, "=", event.item.value));
        revisions_.push_back(revision);
      }
    };
  }
  std::vector<std::string> Await(size_t count) {
    const auto enough = [&] { return lines_.size() >= count; };
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20));
    return lines_;
  }
  std::vector<int64_t> revisions() {
    absl::MutexLock lock(&mu_);
    return revisions_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> lines_;
  std::vector<int64_t> revisions_;
};

class StoreConformanceTest : public ::testing::TestWithParam<StoreFactory> {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    store_.reset();
    store_ = GetParam().open(dir_.path());
    ASSERT_NE(store_, nullptr);
  }
  int64_t Put(const std::string& key, const std::string& value, int64_t lease = 0) {
    const auto revision = store_->Commit(Transaction().Put(key, value, lease));
    EXPECT_THAT(revision, testing::IsOk());
    return revision.value_or(-1);
  }
  std::vector<std::string> Keys(const absl::StatusOr<RangeResult>& range) {
    std::vector<std::string> keys;
    EXPECT_THAT(range, testing::IsOk());
    if (range.ok()) {
      for (const KeyValue& item : range->items) keys.push_back(item.key);
    }
    return keys;
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_;
};

using ::oneai::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_P(StoreConformanceTest, GetReturnsWhatWasPut) {
  EXPECT_THAT(store_->Get("a"), StatusIs(absl::StatusCode::kNotFound, _));
  const int64_t first = Put("a", std::string("x\0y", 3));
  const int64_t second = Put("a", "");
  ASSERT_OK_AND_ASSIGN(const KeyValue item, store_->Get("a"));
  EXPECT_EQ(item.value, "");
  EXPECT_EQ(item.create_revision, first);
  EXPECT_EQ(item.mod_revision, second);
  EXPECT_EQ(second, first + 1);
  EXPECT_EQ(store_->revision(), second);
}

TEST_P(StoreConformanceTest, DeleteThenPutBeginsANewLife) {
  Put("a", "1");
  ASSERT_OK(store_->Commit(Transaction().Delete("a")));
  EXPECT_THAT(store_->Get("a"), StatusIs(absl::StatusCode::kNotFound, _));
  const int64_t revision = Put("a", "2");
  EXPECT_EQ(store_->Get("a")->create_revision, revision);
}

TEST_P(StoreConformanceTest, ListsInByteOrderWithLimit) {
  for (const char* key : {"b/2", "a", "b/10", "b/1", "b0", "b\xff", "c"}) Put(key, key);
  EXPECT_THAT(Keys(store_->List("b/")), ElementsAre("b/1", "b/10", "b/2"));
  EXPECT_THAT(Keys(store_->List("b/", 2)), ElementsAre("b/1", "b/10"));
  EXPECT_THAT(Keys(store_->List("")), ElementsAre("a", "b/1", "b/10", "b/2", "b0", "b\xff", "c"));
  EXPECT_THAT(Keys(store_->List("b\xff")), ElementsAre("b\xff"));
  EXPECT_THAT(Keys(store_->List("zz")), IsEmpty());
  EXPECT_EQ(store_->List("b/")->revision, store_->revision());
}

TEST_P(StoreConformanceTest, RangesForwardAndBackward) {
  for (const char* key : {"e/1", "e/2", "e/3", "e/4"}) Put(key, "");
  EXPECT_THAT(Keys(store_->Range("e/2", "e/4", 0, false)), ElementsAre("e/2", "e/3"));
  EXPECT_THAT(Keys(store_->Range("e/", "e0", 2, true)), ElementsAre("e/4", "e/3"));
  EXPECT_THAT(Keys(store_->Range("e/3", "", 0, false)), ElementsAre("e/3", "e/4"));
  EXPECT_THAT(Keys(store_->Range("e/4", "e/1", 0, false)), IsEmpty());
  EXPECT_THAT(store_->Range("a", "b", -1, false), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_P(StoreConformanceTest, AFailedCompareChangesNothing) {
  const int64_t revision = Put("a", "1");
  EXPECT_THAT(
      store_->Commit(Transaction().If("a", revision).If("b", 7).Put("a", "2").Put("c", "3")),
      StatusIs(absl::StatusCode::kAborted, ::testing::HasSubstr("\"b\"")));
  EXPECT_EQ(store_->Get("a")->value, "1");
  EXPECT_THAT(store_->Get("c"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_EQ(store_->revision(), revision);
  EXPECT_OK(store_->Commit(Transaction().If("a", revision).If("b", 0).Put("a", "2")));
  EXPECT_THAT(store_->Commit(Transaction().If("a", 0).Put("a", "3")),
              StatusIs(absl::StatusCode::kAborted, _));
}

TEST_P(StoreConformanceTest, ATransactionHasOneRevision) {
  ASSERT_OK_AND_ASSIGN(const int64_t revision,
                       store_->Commit(Transaction().Put("a", "1").Put("b", "2")));
  EXPECT_EQ(store_->Get("a")->mod_revision, revision);
  EXPECT_EQ(store_->Get("b")->mod_revision, revision);
}

TEST_P(StoreConformanceTest, ATransactionWithoutEffectKeepsTheRevision) {
  const int64_t revision = Put("a", "1");
  EXPECT_EQ(*store_->Commit(Transaction().Delete("none")), revision);
  EXPECT_EQ(*store_->Commit(Transaction().If("a", revision)), revision);
  EXPECT_EQ(store_->revision(), revision);
}

TEST_P(StoreConformanceTest, RefusesWhatIsOutOfBounds) {
  const std::vector<Transaction> bad = {
      Transaction().Put("", "x"), Transaction().Put(std::string(1025, 'k'), "x"),
      Transaction().Put("k", std::string((8 << 20) + 1, 'v')), Transaction().If("k", -1),
      Transaction().Put("k", "1").Delete("k")};
  for (const Transaction& transaction : bad) {
    EXPECT_THAT(store_->Commit(transaction), StatusIs(absl::StatusCode::kInvalidArgument, _));
  }
  EXPECT_OK(store_->Commit(Transaction().Put(std::string(1024, 'k'), std::string(8 << 20, 'v'))));
}

TEST_P(StoreConformanceTest, ConcurrentIncrementsAreNeverLost) {
  Put("n", "0");
  constexpr int kNumThreads = 8;
  constexpr int kNumIncrements = 25;
  std::vector<std::thread> threads;
  for (int t = 0; t < kNumThreads; ++t) {
    threads.emplace_back([&] {
      for (int done = 0; done < kNumIncrements;) {
        const KeyValue item = *store_->Get("n");
        const auto result = store_->Commit(Transaction()
                                               .If("n", item.mod_revision)
                                               .Put("n", absl::StrCat(std::stoi(item.value) + 1)));
        if (result.ok()) ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->Get("n")->value, absl::StrCat(kNumThreads * kNumIncrements));
}

TEST_P(StoreConformanceTest, WatchDeliversLaterChangesUnderThePrefixInOrder) {
  Put("w/before", "0");
  WatchRecorder recorder;
  const int64_t start = store_->revision();
  auto handle = store_->Watch("w/", recorder.Callback());
  Put("w/a", "1");
  Put("other", "x");
  ASSERT_OK(store_->Commit(Transaction().Put("w/b", "2").Delete("w/a")));
  EXPECT_THAT(recorder.Await(3), ElementsAre(absl::StrCat(start + 1, " put w/a=1"),
                                             absl::StrCat(start + 3, " put w/b=2"),
                                             absl::StrCat(start + 3, " del w/a=")));
}

TEST_P(StoreConformanceTest, WatchSeesEveryCommitOfManyWriters) {
  WatchRecorder recorder;
  auto handle = store_->Watch("", recorder.Callback());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) Put(absl::StrCat("k", t, "/", i), "v");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(recorder.Await(200).size(), 200u);
  const std::vector<int64_t> revisions = recorder.revisions();
  EXPECT_TRUE(std::is_sorted(revisions.begin(), revisions.end()));
}

TEST_P(StoreConformanceTest, NoCallbackAfterTheHandleIsGone) {
  auto calls = std::make_unique<std::atomic<int>>(0);
  auto handle = store_->Watch("", [&](int64_t, const auto&) { ++*calls; });
  Put("a", "1");
  handle.reset();
  const int seen = *calls;
  calls.reset();  // a late callback would now be a use after free
  Put("a", "2");
  EXPECT_LE(seen, 1);
}

TEST_P(StoreConformanceTest, ACallbackMayReadAndEndItsOwnWatch) {
  absl::Notification done;
  std::unique_ptr<WatchHandle> handle;
  absl::Mutex mu;
  std::string value;
  {
    absl::MutexLock lock(&mu);
    handle = store_->Watch("a", [&](int64_t, const auto&) {
      {
        absl::MutexLock callback_lock(&mu);
        value = store_->Get("a")->value;
        handle.reset();
      }
      done.Notify();  // the test may end now, and `mu` with it
    });
  }
  Put("a", "1");
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(value, "1");
}

TEST_P(StoreConformanceTest, KeysEndWithTheirLease) {
  ASSERT_OK_AND_ASSIGN(const int64_t lease, store_->GrantLease(absl::Milliseconds(50)));
  WatchRecorder recorder;
  auto handle = store_->Watch("", recorder.Callback());
  const int64_t put = Put("node/a", "alive", lease);
  EXPECT_THAT(recorder.Await(2), ElementsAre(absl::StrCat(put, " put node/a=alive"),
                                             absl::StrCat(put + 1, " del node/a=")));
  EXPECT_THAT(store_->Get("node/a"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(store_->RenewLease(lease), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(store_->Commit(Transaction().Put("x", "", lease)),
              StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_P(StoreConformanceTest, RevokingALeaseDeletesItsKeysAtOnce) {
  ASSERT_OK_AND_ASSIGN(const int64_t lease, store_->GrantLease(absl::Hours(1)));
  Put("a", "1", lease);
  Put("b", "2", lease);
  Put("b", "2");  // a later put without the lease frees the key from it
  EXPECT_OK(store_->RenewLease(lease));
  EXPECT_OK(store_->RevokeLease(lease));
  EXPECT_THAT(Keys(store_->List("")), ElementsAre("b"));
  EXPECT_THAT(store_->RevokeLease(lease), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(store_->GrantLease(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_P(StoreConformanceTest, EverythingIsThereAfterReopening) {
  if (!GetParam().is_durable) GTEST_SKIP() << "this store keeps nothing";
  ASSERT_OK_AND_ASSIGN(const int64_t lease, store_->GrantLease(absl::Hours(1)));
  Put("a", "1");
  Put("a", "2");
  const int64_t revision = Put("leased", "3", lease);
  const KeyValue before = *store_->Get("a");
  Reopen();
  EXPECT_EQ(store_->revision(), revision);
  ASSERT_OK_AND_ASSIGN(const KeyValue after, store_->Get("a"));
  EXPECT_EQ(after.value, "2");
  EXPECT_EQ(after.create_revision, before.create_revision);
  EXPECT_EQ(after.mod_revision, before.mod_revision);
  EXPECT_OK(store_->RenewLease(lease));
  EXPECT_EQ(Put("b", ""), revision + 1);
  ASSERT_OK_AND_ASSIGN(const int64_t next_lease, store_->GrantLease(absl::Hours(1)));
  EXPECT_NE(next_lease, lease);
}

}  // namespace oneai
