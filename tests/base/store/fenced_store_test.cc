#include "base/store/fenced_store.h"

#include "base/store/memory_store.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;

void NoUnknowns() { ADD_FAILURE() << "an outcome was not known"; }

TEST(FencedStoreTest, WritesUntilTheFenceChanges) {
  const auto store = NewMemoryStore();
  ASSERT_OK_AND_ASSIGN(const int64_t fence, store->Commit(Transaction().Put("leader", "a")));
  const auto fenced = NewFencedStore(store.get(), "leader", fence, NoUnknowns);
  ASSERT_OK_AND_ASSIGN(const int64_t revision, fenced->Commit(Transaction().Put("k", "1")));
  EXPECT_EQ(fenced->Get("k")->mod_revision, revision);
  // A compare of the caller's own stays what it is.
  EXPECT_THAT(fenced->Commit(Transaction().If("k", 0).Put("k", "2")),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("\"k\"")));
  ASSERT_OK(store->Commit(Transaction().Put("leader", "b")));
  EXPECT_THAT(fenced->Commit(Transaction().Put("k", "2")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("taken over")));
  EXPECT_THAT(fenced->Commit(Transaction().Delete("k")),
              StatusIs(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_EQ(fenced->Get("k")->value, "1");
}

TEST(FencedStoreTest, WritesNothingWithoutItsFence) {
  const auto store = NewMemoryStore();
  ASSERT_OK_AND_ASSIGN(const int64_t fence, store->Commit(Transaction().Put("leader", "a")));
  const auto fenced = NewFencedStore(store.get(), "leader", fence, NoUnknowns);
  ASSERT_OK(store->Commit(Transaction().Delete("leader")));
  EXPECT_THAT(fenced->Commit(Transaction().Put("k", "1")),
              StatusIs(absl::StatusCode::kFailedPrecondition, _));
}

}  // namespace
}  // namespace oneai
