#include "controller/leadership.h"

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "base/store/memory_store.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::_;
using testing::StatusIs;

LeadershipOptions Options(const std::string& name) {
  LeadershipOptions options;
  options.self = {name, name + ":1", "https://" + name};
  options.lease = absl::Milliseconds(600);
  options.margin = absl::Milliseconds(100);
  options.renew_every = absl::Milliseconds(50);
  return options;
}

bool Never() { return false; }
void Ignore(const Leader&) {}

std::unique_ptr<Leadership> Lead(Store* store, const std::string& name) {
  return Leadership::Campaign(store, Options(name), Never, Ignore).value();
}

// A store that can be cut off from its user.
class CutStore final : public Store {
 public:
  explicit CutStore(Store* store) : store_(store) {}
  std::atomic<bool> cut{false};

  absl::StatusOr<KeyValue> Get(absl::string_view key) const override { return store_->Get(key); }
  absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit) const override {
    return store_->List(prefix, limit);
  }
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const override {
    return store_->Range(first, last, limit, reverse);
  }
  absl::StatusOr<int64_t> Commit(const Transaction& t) override { return store_->Commit(t); }
  int64_t revision() const override { return store_->revision(); }
  std::unique_ptr<WatchHandle> Watch(
      std::string prefix,
      std::function<void(int64_t, const std::vector<WatchEvent>&)> on_events) override {
    return store_->Watch(std::move(prefix), std::move(on_events));
  }
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    return store_->GrantLease(ttl);
  }
  absl::Status RenewLease(int64_t lease_id) override {
    return cut ? absl::UnavailableError("cut off") : store_->RenewLease(lease_id);
  }
  absl::Status RevokeLease(int64_t lease_id) override { return store_->RevokeLease(lease_id); }

 private:
  Store* const store_;
};

TEST(LeadershipTest, OneLeadsAndTheOtherKnowsWho) {
  const auto store = NewMemoryStore();
  const auto first = Lead(store.get(), "a");
  first->Keep([] { ADD_FAILURE() << "lost"; });
  EXPECT_OK(first->MayServe());
  std::atomic<bool> stop{false};
  const auto second = Leadership::Campaign(
      store.get(), Options("b"), [&] { return stop.load(); },
      [&](const Leader& leader) {
        EXPECT_EQ(leader.name, "a");
        EXPECT_EQ(leader.grpc, "a:1");
        stop = true;
      });
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kCancelled, _));
}

TEST(LeadershipTest, ALeaderThatLeavesIsFollowedAtOnce) {
  const auto store = NewMemoryStore();
  auto first = Lead(store.get(), "a");
  const int64_t fence = first->fence_revision();
  std::thread leaver([&] { first.reset(); });
  const auto second = Lead(store.get(), "b");
  leaver.join();
  EXPECT_GT(second->fence_revision(), fence);
  EXPECT_EQ(DecodeLeader(store->Get(kLeaderKey)->value)->name, "b");
}

TEST(LeadershipTest, ALeaderThatCannotRenewStopsBeforeItsSuccessorBegins) {
  const auto store = NewMemoryStore();
  CutStore cut(store.get());
  const auto first = Lead(&cut, "a");
  absl::Notification lost;
  first->Keep([&] { lost.Notify(); });
  cut.cut = true;
  const auto second = Lead(store.get(), "b");
  EXPECT_THAT(first->MayServe(), StatusIs(absl::StatusCode::kUnavailable, _));
  EXPECT_OK(second->MayServe());
  lost.WaitForNotification();
}

TEST(LeadershipTest, ALeaderWhoseLeaseIsGoneStops) {
  const auto store = NewMemoryStore();
  const auto first = Lead(store.get(), "a");  // whose lease is not kept
  const auto second = Lead(store.get(), "b");
  EXPECT_THAT(first->MayServe(), StatusIs(absl::StatusCode::kUnavailable, _));
  absl::Notification lost;
  first->Keep([&] { lost.Notify(); });
  lost.WaitForNotification();
}

TEST(LeadershipTest, ALeaderWhoseKeyWasTakenAwayStops) {
  const auto store = NewMemoryStore();
  const auto first = Lead(store.get(), "a");
  absl::Notification lost;
  first->Keep([&] { lost.Notify(); });
  ASSERT_OK(store->Commit(Transaction().Delete(kLeaderKey)));
  lost.WaitForNotification();
  EXPECT_THAT(first->MayServe(), StatusIs(absl::StatusCode::kUnavailable, _));
}

TEST(LeadershipTest, RefusesARecordThatNamesNobody) {
  EXPECT_THAT(DecodeLeader("{}"), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(DecodeLeader("x"), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(DecodeLeader(R"({"name":1,"grpc":"a","web":"b"})"),
              StatusIs(absl::StatusCode::kDataLoss, _));
}

}  // namespace
}  // namespace oneai
