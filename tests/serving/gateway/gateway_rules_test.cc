#include <filesystem>
#include <fstream>

#include "base/files/files.h"
#include "serving/gateway/endpoint_directory.h"
#include "serving/gateway/generation_relay.h"
#include "serving/gateway/identity_cache.h"
#include "serving/gateway/pick_replica.h"
#include "serving/gateway/tenant_limits.h"
#include "serving/gateway/usage_journal.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

namespace fs = std::filesystem;
using oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

TEST(PickReplicaTest, GoesRoundAndSkipsWhatIsNotReady) {
  const std::vector<ReplicaView> replicas = {{"a", true}, {"b", false}, {"c", true}};
  EXPECT_EQ(PickReplica(replicas, 0, {}, kNow), 0u);
  EXPECT_EQ(PickReplica(replicas, 1, {}, kNow), 2u);
  EXPECT_EQ(PickReplica(replicas, 2, {}, kNow), 2u);
  EXPECT_EQ(PickReplica(replicas, 3, {}, kNow), 0u);
}

TEST(PickReplicaTest, SkipsTriedOnesAndEnds) {
  const std::vector<ReplicaView> replicas = {{"a", true}, {"b", true}};
  EXPECT_EQ(PickReplica(replicas, 0, {"a"}, kNow), 1u);
  EXPECT_EQ(PickReplica(replicas, 0, {"a", "b"}, kNow), std::nullopt);
  EXPECT_EQ(PickReplica({}, 7, {}, kNow), std::nullopt);
}

TEST(PickReplicaTest, ASuspectIsTheLastResort) {
  const std::vector<ReplicaView> replicas = {{"a", true, kNow + absl::Seconds(1)}, {"b", true}};
  EXPECT_EQ(PickReplica(replicas, 0, {}, kNow), 1u);
  EXPECT_EQ(PickReplica(replicas, 0, {"b"}, kNow), 0u);
  EXPECT_EQ(PickReplica(replicas, 0, {}, kNow + absl::Seconds(1)), 0u);
}

TEST(EndpointDirectoryTest, NothingIsUnknownBeforeTheFirstList) {
  EndpointDirectory directory(nullptr);
  EXPECT_THAT(directory.Find("chat"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("retry")));
  EXPECT_THAT(directory.List(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("retry")));
  directory.Update(fabric::v1::ListEndpointsResponse());
  EXPECT_THAT(directory.Find("chat"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'chat'")));
  ASSERT_OK_AND_ASSIGN(const std::vector<EndpointView> none, directory.List());
  EXPECT_TRUE(none.empty());
}

TEST(TenantLimitsTest, BoundsEachTenantAndTheWhole) {
  TenantLimits limits({.streams_max = 3, .tenant_streams_max = 2});
  absl::Duration wait;
  ASSERT_OK_AND_ASSIGN(auto first, limits.Enter("retail", kNow, wait));
  ASSERT_OK_AND_ASSIGN(auto second, limits.Enter("retail", kNow, wait));
  EXPECT_THAT(limits.Enter("retail", kNow, wait),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("'retail'")));
  ASSERT_OK_AND_ASSIGN(auto third, limits.Enter("bank", kNow, wait));
  EXPECT_THAT(limits.Enter("bank", kNow, wait),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("gateway")));
  first.reset();
  EXPECT_OK(limits.Enter("retail", kNow, wait));
}

TEST(TenantLimitsTest, ATenantThatSpentItsTokensWaitsForTheRefill) {
  TenantLimits limits({.tenant_tokens_per_minute = 60});
  absl::Duration wait;
  ASSERT_OK(limits.Enter("retail", kNow, wait));
  limits.Spend("retail", 70, kNow);
  EXPECT_THAT(limits.Enter("retail", kNow, wait),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("60 tokens per minute")));
  EXPECT_EQ(wait, absl::Seconds(11));
  EXPECT_OK(limits.Enter("retail", kNow + wait, wait));
  EXPECT_OK(limits.Enter("bank", kNow, wait));
}

TEST(GenerationRelayTest, OnlyWhatWasNotDeliveredIsTriedAgain) {
  using enum AfterFailure;
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kUnavailable, false), kTryNext);
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kUnavailable, true), kReportAborted);
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kResourceExhausted, false), kTryNext);
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kInternal, false), kReport);
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kInternal, true), kReportAborted);
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kInvalidArgument, false), kReport);
  EXPECT_EQ(DecideAfterFailure(absl::StatusCode::kDeadlineExceeded, true), kReport);
}

class IdentityCacheTest : public ::testing::Test {
 protected:
  IdentityCache NewCache(IdentityCacheSettings settings = {}) {
    return IdentityCache(
        settings,
        [this](const std::string& secret) -> absl::StatusOr<Identity> {
          ++num_asked_;
          if (!is_reachable_) return absl::UnavailableError("down");
          if (secret != good_) return absl::UnauthenticatedError("bad");
          Identity identity;
          identity.principal.set_name("shop");
          return identity;
        },
        &clock_);
  }
  FakeClock clock_;
  std::string good_ = "key";
  bool is_reachable_ = true;
  int num_asked_ = 0;
};

TEST_F(IdentityCacheTest, AsksOnceWithinTheLifetime) {
  IdentityCache cache = NewCache();
  EXPECT_OK(cache.Find("key"));
  EXPECT_OK(cache.Find("key"));
  EXPECT_EQ(num_asked_, 1);
}

TEST_F(IdentityCacheTest, ARevokedKeyDiesWithinTheLifetime) {
  IdentityCache cache = NewCache();
  ASSERT_OK(cache.Find("key"));
  good_ = "";
  clock_.Advance(absl::Seconds(3));
  EXPECT_THAT(cache.Find("key"), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("bad")));
}

TEST_F(IdentityCacheTest, NoKeyIsNeverAsked) {
  IdentityCache cache = NewCache();
  EXPECT_THAT(cache.Find(""), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("Bearer")));
  EXPECT_THAT(cache.Find(std::string(1000, 'x')),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not valid")));
  EXPECT_EQ(num_asked_, 0);
}

TEST_F(IdentityCacheTest, KnownKeysOutliveTheControllerForTheGrace) {
  IdentityCache cache = NewCache();
  ASSERT_OK(cache.Find("key"));
  is_reachable_ = false;
  clock_.Advance(absl::Minutes(4));
  EXPECT_OK(cache.Find("key"));
  clock_.Advance(absl::Minutes(2));
  EXPECT_THAT(cache.Find("key"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("retry")));
  EXPECT_THAT(cache.Find("new"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("retry")));
}

TEST_F(IdentityCacheTest, StrangersCannotPushKnownKeysOut) {
  IdentityCache cache = NewCache({.num_keys_max = 10});
  ASSERT_OK(cache.Find("key"));
  for (int i = 0; i < 50; ++i) (void)cache.Find("bad" + std::to_string(i));
  num_asked_ = 0;
  EXPECT_OK(cache.Find("key"));
  EXPECT_EQ(num_asked_, 0);
}

TEST(BearerTokenTest, TakesTheTokenAlone) {
  EXPECT_EQ(BearerToken("Bearer abc"), "abc");
  EXPECT_EQ(BearerToken("bearer  abc "), "abc");
  EXPECT_EQ(BearerToken("Basic abc"), "");
  EXPECT_EQ(BearerToken(""), "");
}

class UsageJournalTest : public ::testing::Test {
 protected:
  UsageJournalTest()
      : dir_(fs::path(::testing::TempDir()) /
             ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(dir_);
  }
  ~UsageJournalTest() override { fs::remove_all(dir_); }
  const fs::path dir_;
  const UsageDelta delta_ = {"retail", "shakespeare", 1, 10, 20, 0};
};

TEST_F(UsageJournalTest, SumsAndNumbersBatches) {
  ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
  ASSERT_OK_AND_ASSIGN(auto empty, journal->NextBatch());
  EXPECT_FALSE(empty.has_value());
  ASSERT_OK(journal->Record(delta_));
  ASSERT_OK(journal->Record({"retail", "shakespeare", 1, 1, 2, 1}));
  ASSERT_OK(journal->Record({"bank\t\n", "m", 1, 1, 1, 0}));
  ASSERT_OK_AND_ASSIGN(auto batch, journal->NextBatch());
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->sequence, 1);
  EXPECT_THAT(batch->deltas, ElementsAre(UsageDelta{"bank\t\n", "m", 1, 1, 1, 0},
                                         UsageDelta{"retail", "shakespeare", 2, 11, 22, 1}));
  ASSERT_OK(journal->Record(delta_));
  // Until it is acknowledged the same batch comes again, whatever was recorded since.
  ASSERT_OK_AND_ASSIGN(batch, journal->NextBatch());
  EXPECT_EQ(batch->sequence, 1);
  ASSERT_OK(journal->Acknowledge(1));
  ASSERT_OK_AND_ASSIGN(batch, journal->NextBatch());
  EXPECT_EQ(batch->sequence, 2);
  EXPECT_THAT(batch->deltas, ElementsAre(delta_));
}

TEST_F(UsageJournalTest, ACrashNeitherLosesNorRenumbers) {
  std::string id;
  {
    ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
    id = journal->gateway_id();
    ASSERT_OK(journal->Record(delta_));
    ASSERT_OK(journal->NextBatch());  // reported, the answer never came
    ASSERT_OK(journal->Record(delta_));
  }
  ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
  EXPECT_EQ(journal->gateway_id(), id);
  for (int sequence : {1, 2}) {
    ASSERT_OK_AND_ASSIGN(auto batch, journal->NextBatch());
    EXPECT_EQ(batch->sequence, sequence);
    EXPECT_THAT(batch->deltas, ElementsAre(delta_));
    ASSERT_OK(journal->Acknowledge(sequence));
  }
  ASSERT_OK(journal->Record(delta_));
  ASSERT_OK_AND_ASSIGN(auto batch, journal->NextBatch());
  EXPECT_EQ(batch->sequence, 3);
}

TEST_F(UsageJournalTest, NumbersGoOnAfterEverythingWasAcknowledged) {
  {
    ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
    ASSERT_OK(journal->Record(delta_));
    ASSERT_OK(journal->NextBatch());
    ASSERT_OK(journal->Acknowledge(1));
  }
  ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
  ASSERT_OK(journal->Record(delta_));
  ASSERT_OK_AND_ASSIGN(auto batch, journal->NextBatch());
  EXPECT_GT(batch->sequence, 1);
}

TEST_F(UsageJournalTest, ATornLastLineIsIgnored) {
  { ASSERT_OK(UsageJournal::Open(dir_)); }
  std::ofstream(dir_ / "usage-1.log") << "retail\tm\t1\t2\t3\t0\nretail\tm\t1\t2";
  ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
  ASSERT_OK_AND_ASSIGN(auto batch, journal->NextBatch());
  EXPECT_THAT(batch->deltas, ElementsAre(UsageDelta{"retail", "m", 1, 2, 3, 0}));
}

TEST_F(UsageJournalTest, OnlyTheOldestCanBeAcknowledged) {
  ASSERT_OK_AND_ASSIGN(auto journal, UsageJournal::Open(dir_));
  EXPECT_THAT(journal->Acknowledge(1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("batch 1")));
}

}  // namespace
}  // namespace oneai::serving
