#include "data_gov/audit/audit_log.h"

#include "base/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::gov {
namespace {

using ::testing::HasSubstr;

class AuditLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(log_, AuditLog::Open(store_.get(), &clock_));
    for (const char* action : {"dataset.open", "dataset.read", "job.submit"}) {
      common::v1::Principal principal;
      principal.set_name("alice");
      ASSERT_OK(
          log_->Append({principal, action, "retail/orders@1", "pretraining", true, "detail"}));
    }
  }

  data::v1::VerifyAuditResponse Verify() {
    auto result = log_->Verify();
    EXPECT_OK(result);
    return *result;
  }

  void Rewrite(const std::string& key, std::function<void(data::v1::AuditRecord&)> change) {
    ASSERT_OK_AND_ASSIGN(const KeyValue item, store_->Get(key));
    data::v1::AuditRecord record;
    ASSERT_TRUE(record.ParseFromString(item.value));
    change(record);
    ASSERT_OK(store_->Commit(Transaction().Put(key, record.SerializeAsString())));
  }

  static constexpr char kSecond[] = "audit/00000000000000000002";
  FakeClock clock_;
  std::unique_ptr<Store> store_ = NewMemoryStore();
  std::unique_ptr<AuditLog> log_;
};

TEST_F(AuditLogTest, AnUntouchedChainIsIntact) {
  const auto result = Verify();
  EXPECT_TRUE(result.intact());
  EXPECT_EQ(result.num_records(), 3);
  EXPECT_EQ(result.head_hash().size(), 32u);
}

TEST_F(AuditLogTest, AnEditIsFoundWhereItIs) {
  Rewrite(kSecond, [](data::v1::AuditRecord& record) { record.set_purpose("evaluation"); });
  const auto result = Verify();
  EXPECT_FALSE(result.intact());
  EXPECT_EQ(result.first_bad_sequence(), 2);
}

TEST_F(AuditLogTest, AnEditWithARecomputedHashBreaksTheNextRecord) {
  Rewrite(kSecond, [](data::v1::AuditRecord& record) {
    record.set_allowed(false);
    record.set_hash(HashOf(record));
  });
  const auto result = Verify();
  EXPECT_FALSE(result.intact());
  EXPECT_EQ(result.first_bad_sequence(), 3);
}

TEST_F(AuditLogTest, ADeletionIsFound) {
  ASSERT_OK(store_->Commit(Transaction().Delete(kSecond)));
  const auto result = Verify();
  EXPECT_FALSE(result.intact());
  EXPECT_EQ(result.first_bad_sequence(), 2);
  EXPECT_THAT(result.explanation(), HasSubstr("missing"));
}

TEST_F(AuditLogTest, AReopenedLogContinuesTheChain) {
  ASSERT_OK_AND_ASSIGN(log_, AuditLog::Open(store_.get(), &clock_));
  ASSERT_OK(log_->Append({{}, "auth.denied", "", "", false, ""}));
  const auto result = Verify();
  EXPECT_TRUE(result.intact());
  EXPECT_EQ(result.num_records(), 4);
}

TEST_F(AuditLogTest, QueriesGoBackwardsAndFilter) {
  data::v1::QueryAuditRequest request;
  request.set_limit(2);
  ASSERT_OK_AND_ASSIGN(auto page, log_->Query(request));
  ASSERT_EQ(page.records_size(), 2);
  EXPECT_EQ(page.records(0).sequence(), 3);
  request.set_before_sequence(page.records(1).sequence());
  ASSERT_OK_AND_ASSIGN(page, log_->Query(request));
  ASSERT_EQ(page.records_size(), 1);
  EXPECT_EQ(page.records(0).action(), "dataset.open");
  data::v1::QueryAuditRequest by_action;
  by_action.set_action("dataset.read");
  ASSERT_OK_AND_ASSIGN(page, log_->Query(by_action));
  EXPECT_EQ(page.records_size(), 1);
}

}  // namespace
}  // namespace oneai::gov
