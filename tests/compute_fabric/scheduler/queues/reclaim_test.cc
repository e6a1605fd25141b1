// Who may take back: scenarios of Kueue's reclaimWithinCohort and fair sharing and of KAI's
// reclaim, in words.
#include "compute_fabric/scheduler/queues/reclaim.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

constexpr char kGpu[] = "gpu";

Amounts Gpus(int64_t devices) { return {{kGpu, devices * 1000}}; }

QueueSpec Queue(const std::string& path, int64_t devices, double weight = 1) {
  QueueSpec spec;
  spec.path = path;
  spec.nominal = Gpus(devices);
  spec.weight = weight;
  return spec;
}

struct Used {
  std::string path;
  int64_t devices;
};

QueueTree Tree(const std::vector<QueueSpec>& specs, int64_t capacity,
               const std::vector<Used>& used) {
  QueueTree tree;
  EXPECT_OK(tree.SetSpecs(specs));
  tree.SetCapacity(Gpus(capacity));
  for (const Used& use : used) tree.Charge(use.path, Gpus(use.devices));
  return tree;
}

struct Case {
  std::string name;
  std::vector<QueueSpec> specs;
  std::vector<Used> used;
  std::string taker;
  int64_t needs;
  std::string owner;
  int64_t held;
  bool may;
};

TEST(MayReclaimTest, Table) {
  const std::vector<QueueSpec> halves = {Queue("a", 8), Queue("b", 8)};
  const std::vector<QueueSpec> tree = {Queue("retail", 8), Queue("retail/nlp", 4),
                                       Queue("retail/vision", 4), Queue("finance", 8),
                                       Queue("finance/risk", 6)};
  const std::vector<Case> cases = {
      {"nominal comes back from a borrower", halves, {{"b", 16}}, "a", 8, "b", 8, true},
      {"a whole job comes back though it is larger", halves, {{"b", 16}}, "a", 1, "b", 16, true},
      {"nobody's own nominal is taken", halves, {{"b", 8}, {"a", 8}}, "a", 1, "b", 1, false},
      {"not from one that would borrow as much",
       halves,
       {{"b", 10}, {"a", 6}},
       "a",
       4,
       "b",
       1,
       false},
      {"preempt while borrowing: the share stays lower",
       {Queue("a", 2), Queue("b", 2)},
       {{"a", 3}, {"b", 13}},
       "a",
       1,
       "b",
       4,
       true},
      {"preempt while borrowing: it would turn round",
       {Queue("a", 2), Queue("b", 2)},
       {{"a", 6}, {"b", 10}},
       "a",
       1,
       "b",
       4,
       false},
      {"equal shares are left alone",
       {Queue("a", 2), Queue("b", 2)},
       {{"a", 7}, {"b", 8}},
       "a",
       1,
       "b",
       0,
       false},
      {"weight counts",
       {Queue("a", 2, 3), Queue("b", 2)},
       {{"a", 7}, {"b", 9}},
       "a",
       1,
       "b",
       2,
       true},
      {"the same queue", halves, {{"b", 16}}, "b", 1, "b", 1, false},
      {"what the job does not hold", halves, {{"b", 16}}, "a", 1, "b", 0, false},
      {"between units, borrowed from the sibling project",
       tree,
       {{"retail/nlp", 8}},
       "retail/vision",
       4,
       "retail/nlp",
       2,
       true},
      {"a project within its own is safe though its unit borrows",
       tree,
       {{"retail/nlp", 4}, {"retail/vision", 12}},
       "finance/risk",
       2,
       "retail/nlp",
       4,
       false},
      {"its sibling that borrows is not",
       tree,
       {{"retail/nlp", 4}, {"retail/vision", 12}},
       "finance/risk",
       2,
       "retail/vision",
       4,
       true},
      {"a project may use what its unit is entitled to",
       tree,
       {{"retail/vision", 16}},
       "finance/new",
       8,
       "retail/vision",
       8,
       true},
      {"the rest gives back what nominals want", halves, {{"guest", 16}}, "a", 8, "guest", 8, true},
      {"the rest takes what the nominals leave",
       {Queue("a", 8)},
       {{"a", 16}},
       "guest",
       8,
       "a",
       8,
       true},
      {"and no more", {Queue("a", 8)}, {{"a", 12}, {"guest", 4}}, "guest", 5, "a", 8, false},
      {"the rest takes nothing from the rest",
       halves,
       {{"guest", 16}},
       "other",
       1,
       "guest",
       1,
       false},
      {"jobs directly in a unit are its rest",
       tree,
       {{"retail", 16}},
       "retail/nlp",
       4,
       "retail",
       4,
       true},
  };
  for (const Case& c : cases) {
    const QueueTree queues = Tree(c.specs, 16, c.used);
    EXPECT_EQ(queues.MayReclaim(c.taker, Gpus(c.needs), c.owner, Gpus(c.held)), c.may) << c.name;
  }
}

TEST(MayReclaimTest, OnlyForAKindThatTheOwnerBorrows) {
  QueueTree tree;
  QueueSpec a = Queue("a", 8);
  a.nominal["a10"] = 8000;
  QueueSpec b = a;
  b.path = "b";
  ASSERT_OK(tree.SetSpecs({a, b}));
  tree.SetCapacity({{kGpu, 16'000}, {"a10", 16'000}});
  tree.Charge("b", {{kGpu, 8000}, {"a10", 16'000}});
  EXPECT_FALSE(tree.MayReclaim("a", Gpus(1), "b", Gpus(8)));
  EXPECT_TRUE(tree.MayReclaim("a", {{"a10", 1000}}, "b", {{"a10", 8000}}));
  EXPECT_TRUE(tree.MayReclaim("a", {{"a10", 1000}, {kCpu, 64'000}}, "b", {{"a10", 8000}}));
}

TEST(MayReclaimTest, AnUndividedResourceIsNotTakenBack) {
  QueueTree tree = Tree({Queue("a", 8), Queue("b", 8)}, 16, {});
  tree.Charge("b", {{kCpu, 64'000}});
  EXPECT_FALSE(tree.MayReclaim("a", {{kCpu, 8000}}, "b", {{kCpu, 8000}}));
}

TEST(BorrowersTest, AreThoseWhoMightGiveBack) {
  const QueueTree tree =
      Tree({Queue("retail", 8), Queue("retail/nlp", 4), Queue("finance", 4)}, 16,
           {{"retail/nlp", 4}, {"retail/vision", 5}, {"finance", 2}, {"guest/one", 5}});
  EXPECT_THAT(tree.Borrowers(), ::testing::ElementsAre("guest/one", "retail/vision"));
  for (const char* owner : {"finance", "retail/nlp"}) {
    EXPECT_FALSE(tree.MightReclaim("finance", Gpus(1), owner)) << owner;
    EXPECT_FALSE(tree.MightReclaim("retail/new", Gpus(1), owner)) << owner;
  }
  EXPECT_TRUE(tree.MightReclaim("finance", Gpus(1), "guest/one"));
  EXPECT_TRUE(tree.MightReclaim("finance", Gpus(1), "retail/vision"));
}

TEST(ReclaimGuardTest, DoublesWithEachReclaim) {
  const absl::Duration minimum = absl::Minutes(10);
  EXPECT_EQ(ReclaimGuard(minimum, 0), minimum);
  EXPECT_EQ(ReclaimGuard(minimum, 3), 8 * minimum);
  EXPECT_EQ(ReclaimGuard(minimum, -5), minimum);
  EXPECT_EQ(ReclaimGuard(minimum, 1'000'000), ReclaimGuard(minimum, 20));
  EXPECT_EQ(ReclaimGuard(absl::ZeroDuration(), 7), absl::ZeroDuration());
}

}  // namespace
}  // namespace oneai::fabric
