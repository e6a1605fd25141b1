#include "compute_fabric/events/event_log.h"

#include "base/store/memory_store.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

void Write(EventLog& log, Store& store, const std::string& subject) {
  Transaction transaction;
  const std::vector<v1::Event> events =
      log.Add({{"job.submitted", subject, "m", "info"}}, kNow, transaction);
  ASSERT_OK(store.Commit(transaction).status());
  log.Install(events);
}

TEST(EventLogTest, KeepsTheNewestAcrossARestart) {
  const std::unique_ptr<Store> store = NewMemoryStore();
  EventLog log(3);
  for (int i = 0; i < 5; ++i) Write(log, *store, i % 2 == 0 ? "even" : "odd");
  ASSERT_OK_AND_ASSIGN(const RangeResult stored, store->List("events/"));
  EXPECT_EQ(stored.items.size(), 3u);
  EventLog again(3);
  ASSERT_OK(again.Load(*store));
  EXPECT_EQ(again.last_sequence(), 5);
  EXPECT_EQ(again.List("", 0, 10).size(), 3u);
  EXPECT_EQ(again.List("even", 0, 10).size(), 2u);
  EXPECT_EQ(again.List("", 3, 1).at(0).sequence(), 4);
  EXPECT_EQ(again.List("", 0, 1).at(0).sequence(), 5) << "without a start: the newest";
}

}  // namespace
}  // namespace oneai::fabric
