// Quota and order in Kueue's terms (https://kueue.sigs.k8s.io/docs/concepts/cluster_queue/): the
// scenarios of its documentation, restated for a tree.
#include "compute_fabric/scheduler/queues/queue_tree.h"

#include "compute_fabric/scheduler/queues/decay.h"
#include "compute_fabric/scheduler/queues/sandbox.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::IsOk;
using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kGpu[] = "gpu";

Amounts Gpus(int64_t devices) { return {{kGpu, devices * 1000}}; }

QueueSpec Queue(const std::string& path, int64_t devices) {
  QueueSpec spec;
  spec.path = path;
  spec.nominal = Gpus(devices);
  return spec;
}

QueueTree Tree(const std::vector<QueueSpec>& specs, int64_t capacity) {
  QueueTree tree;
  EXPECT_OK(tree.SetSpecs(specs));
  tree.SetCapacity(Gpus(capacity));
  return tree;
}

bool Admits(const QueueTree& tree, absl::string_view path, int64_t devices) {
  return tree.Admit(path, Gpus(devices)).admitted;
}

TEST(QueueTreeTest, NobodyHasSetUpAnything) {
  QueueTree tree;
  tree.SetCapacity(Gpus(8));
  const Admission admission = tree.Admit("retail/nlp", Gpus(100));
  EXPECT_TRUE(admission.admitted);
  EXPECT_FALSE(admission.borrows);
  tree.Charge("retail/nlp", Gpus(8));
  EXPECT_FALSE(tree.MayReclaim("finance", Gpus(1), "retail/nlp", Gpus(8)));
  EXPECT_TRUE(tree.GoesBefore("finance", "retail"));  // it has less
  EXPECT_FALSE(tree.GoesBefore("retail", "finance"));
}

TEST(QueueTreeTest, UseCountsInAllThatContainTheQueue) {
  QueueTree tree;
  tree.Charge("retail/nlp", Gpus(3), 2);
  tree.Charge("retail/vision", Gpus(1));
  tree.Charge("retail/nlp", Gpus(3), -1);
  EXPECT_EQ(tree.FindUse("retail/nlp")->in_use, Gpus(3));
  EXPECT_EQ(tree.FindUse("retail")->in_use, Gpus(4));
  EXPECT_EQ(tree.FindUse("")->in_use, Gpus(4));
  EXPECT_EQ(tree.FindUse("finance"), nullptr);
  EXPECT_THAT(tree.Paths(), ElementsAre("", "retail", "retail/nlp", "retail/vision"));
}

TEST(QueueTreeTest, UseSurvivesNewSpecsAndCopies) {
  QueueTree tree;
  tree.Charge("retail/nlp", Gpus(3));
  ASSERT_OK(tree.SetSpecs({Queue("retail", 4)}));
  EXPECT_EQ(tree.FindUse("retail")->in_use, Gpus(3));
  EXPECT_FALSE(tree.Admit("retail", Gpus(1)).borrows);
  EXPECT_TRUE(tree.Admit("retail", Gpus(2)).borrows);
  QueueTree copy = tree;
  copy.Charge("retail", Gpus(1));
  EXPECT_EQ(tree.FindUse("retail")->in_use, Gpus(3));
  EXPECT_EQ(copy.FindUse("retail")->in_use, Gpus(4));
  ASSERT_OK(tree.SetSpecs({}));
  EXPECT_EQ(tree.FindSpec("retail"), nullptr);
  EXPECT_EQ(tree.FindUse("retail/nlp")->in_use, Gpus(3));
}

TEST(QueueTreeTest, ATreeThatDoesNotAddUpChangesNothing) {
  QueueTree tree = Tree({Queue("retail", 4)}, 8);
  EXPECT_THAT(tree.SetSpecs({Queue("retail", 4), Queue("retail/nlp", 5)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nearest valid")));
  ASSERT_NE(tree.FindSpec("retail"), nullptr);
  EXPECT_EQ(tree.FindSpec("retail/nlp"), nullptr);
}

TEST(QueueTreeTest, BorrowingLimitIsAboveNominal) {
  QueueSpec a = Queue("a", 9);
  a.borrowing_limit = Gpus(1);
  QueueTree tree = Tree({a, Queue("b", 12)}, 21);
  EXPECT_FALSE(tree.Admit("a", Gpus(9)).borrows);
  EXPECT_TRUE(tree.Admit("a", Gpus(10)).borrows);
  EXPECT_TRUE(Admits(tree, "a", 10));
  const Admission refused = tree.Admit("a", Gpus(11));
  EXPECT_FALSE(refused.admitted);
  EXPECT_FALSE(refused.admitted_when_idle);
  EXPECT_THAT(refused.blockers,
              ElementsAre("queue a may borrow at most 1 gpu above its nominal 9 gpu: 0 gpu in use, "
                          "11 gpu asked for"));
}

TEST(QueueTreeTest, LendingLimitKeepsTheRestForItsOwner) {
  QueueSpec b = Queue("b", 12);
  b.lending_limit = Gpus(1);
  QueueTree tree = Tree({Queue("a", 9), b}, 21);
  EXPECT_TRUE(Admits(tree, "a", 10));
  const Admission refused = tree.Admit("a", Gpus(11));
  EXPECT_FALSE(refused.admitted);
  EXPECT_THAT(refused.blockers, ElementsAre(HasSubstr("11 gpu kept for queues that do not lend")));
  EXPECT_TRUE(Admits(tree, "b", 12));
  tree.Charge("b", Gpus(11));  // what b keeps is in use now, its last one is lent
  EXPECT_TRUE(Admits(tree, "a", 10));
}

TEST(QueueTreeTest, LimitHoldsWhateverIsIdle) {
  QueueSpec unit = Queue("retail", 4);
  unit.limit = Gpus(6);
  QueueTree tree = Tree({unit, Queue("finance", 12)}, 16);
  tree.Charge("retail/nlp", Gpus(5));
  EXPECT_TRUE(Admits(tree, "retail/vision", 1));
  const Admission refused = tree.Admit("retail/vision", Gpus(2));
  EXPECT_FALSE(refused.admitted);
  EXPECT_TRUE(refused.admitted_when_idle);
  EXPECT_THAT(refused.blockers, ElementsAre("queue retail is limited to 6 gpu: 5 gpu in use, 2 gpu "
                                            "asked for"));
}

TEST(QueueTreeTest, NamesEveryLimitOnThePath) {
  QueueSpec unit = Queue("retail", 4);
  unit.limit = Gpus(6);
  QueueSpec project = Queue("retail/nlp", 2);
  project.borrowing_limit = Gpus(1);
  project.limit = {{kCpu, 8000}, {kGpu, 6000}};
  QueueTree tree = Tree({unit, project}, 16);
  Amounts needs = Gpus(7);
  needs[kCpu] = 9500;
  EXPECT_THAT(tree.Admit("retail/nlp", needs).blockers, SizeIs(4));
}

TEST(QueueTreeTest, ASandboxStartsAtOnce) {
  QueueSpec sandbox = Queue("retail/sandbox", 2);
  sandbox.sandbox = true;
  QueueTree tree = Tree({Queue("retail", 6), sandbox, Queue("finance", 4)}, 10);
  EXPECT_TRUE(Admits(tree, "finance", 8));
  EXPECT_FALSE(Admits(tree, "finance", 9));     // the sandbox is not lent
  EXPECT_FALSE(Admits(tree, "retail/nlp", 9));  // within the unit neither
  tree.Charge("finance", Gpus(8));
  EXPECT_TRUE(Admits(tree, "retail/sandbox", 2));
  EXPECT_FALSE(tree.Admit("retail/sandbox", Gpus(2)).borrows);
  EXPECT_TRUE(tree.TakesOwnReserve("retail/sandbox", Gpus(2)));
  EXPECT_FALSE(tree.TakesOwnReserve("retail/sandbox", Gpus(3)));
}

TEST(QueueTreeTest, TheRootsWrittenNominalCapsEverything) {
  QueueTree tree = Tree({Queue("", 8), Queue("a", 4)}, 16);
  tree.Charge("b", Gpus(8));
  EXPECT_FALSE(Admits(tree, "b", 1));
  EXPECT_FALSE(Admits(tree, "a", 1));
  EXPECT_TRUE(tree.Admit("a", Gpus(1)).admitted_when_idle);
}

TEST(QueueTreeTest, LostNodesDoNotBlockWhatTheOthersHaveFree) {
  QueueTree tree = Tree({Queue("a", 8), Queue("b", 8)}, 16);
  tree.Charge("a", Gpus(12));
  tree.SetCapacity(Gpus(8));  // half the nodes are cordoned, their jobs go on
  EXPECT_TRUE(Admits(tree, "b", 8));
  EXPECT_TRUE(Admits(tree, "a", 4));
}

TEST(QueueTreeTest, AResourceThatNobodyDividesIsNotBorrowed) {
  QueueTree tree = Tree({Queue("a", 8), Queue("b", 8)}, 16);
  Amounts needs = Gpus(8);
  needs[kCpu] = 1'000'000;
  needs[kMemory] = int64_t{1} << 50;
  EXPECT_TRUE(tree.Admit("a", needs).admitted);
  EXPECT_FALSE(tree.Admit("a", needs).borrows);
}

TEST(QueueTreeTest, QueuesWithinNominalGoFirst) {
  QueueTree tree = Tree({Queue("a", 4), Queue("b", 12)}, 16);
  EXPECT_FALSE(tree.GoesBefore("a", "b"));
  EXPECT_FALSE(tree.GoesBefore("b", "a"));
  tree.Charge("a", Gpus(2));  // half of its own
  tree.Charge("b", Gpus(5));  // less than half
  EXPECT_TRUE(tree.GoesBefore("b", "a"));
  tree.Charge("a", Gpus(3));
  tree.Charge("b", Gpus(6));
  EXPECT_TRUE(tree.GoesBefore("b", "a"));  // a borrows
  EXPECT_TRUE(tree.RankOf("a").borrows);
}

TEST(QueueTreeTest, BorrowersShareByWeight) {
  QueueSpec a = Queue("a", 1);
  a.weight = 3;
  QueueTree tree = Tree({a, Queue("b", 1), Queue("c", 14)}, 16);
  tree.Charge("a", Gpus(6));  // 5 above: 5/16/3
  tree.Charge("b", Gpus(3));  // 2 above: 2/16
  EXPECT_DOUBLE_EQ(tree.DominantShare("a"), 5.0 / 16 / 3);
  EXPECT_DOUBLE_EQ(tree.DominantShare("b"), 2.0 / 16);
  EXPECT_DOUBLE_EQ(tree.DominantShare("b", Gpus(2)), 4.0 / 16);
  EXPECT_DOUBLE_EQ(tree.DominantShare("c", Gpus(2)), 0);
  EXPECT_TRUE(tree.GoesBefore("a", "b"));
}

TEST(QueueTreeTest, TheScarcestKindDominates) {
  QueueTree tree;
  ASSERT_OK(tree.SetSpecs({}));
  tree.SetCapacity({{"h100", 16'000}, {"a10", 64'000}});
  tree.Charge("a", {{"h100", 4000}});
  tree.Charge("b", {{"a10", 8000}});
  EXPECT_DOUBLE_EQ(tree.DominantShare("a"), 0.25);
  EXPECT_DOUBLE_EQ(tree.DominantShare("b"), 0.125);
  EXPECT_TRUE(tree.GoesBefore("b", "a"));
}

TEST(QueueTreeTest, ComparesFromTheFirstQueueInWhichTheyDiffer) {
  QueueTree tree = Tree({Queue("retail", 8), Queue("finance", 8)}, 16);
  tree.Charge("retail/nlp", Gpus(6));
  tree.Charge("finance/risk", Gpus(4));
  // retail/vision has nothing, but retail is nearer to its nominal than finance.
  EXPECT_TRUE(tree.GoesBefore("finance/risk", "retail/vision"));
  EXPECT_TRUE(tree.GoesBefore("retail/vision", "retail/nlp"));
}

TEST(QueueTreeTest, PastUseCountsForBorrowersAndFades) {
  const absl::Time start = absl::UnixEpoch();
  const absl::Duration day = absl::Hours(24);
  QueueTree tree = Tree({Queue("c", 16)}, 16);
  tree.Decay(start, day);
  tree.Charge("a", Gpus(8));
  tree.Decay(start + day, day);
  tree.Charge("a", Gpus(8), -1);
  EXPECT_TRUE(tree.GoesBefore("b", "a"));  // a has had its turn
  EXPECT_NEAR(tree.DecayedShare("a"), 0.5 * 0.5, 1e-9);
  tree.Decay(start + 2 * day, day);
  EXPECT_NEAR(tree.DecayedShare("a"), 0.25 * 0.5, 1e-9);
  EXPECT_GT(tree.FindUse("a")->decayed.at(kGpu), 0);
  tree.Decay(start + 3 * day, absl::ZeroDuration());
  EXPECT_EQ(tree.DecayedShare("a"), 0);
  tree.Charge("c", Gpus(8));
  tree.Decay(start + 30 * day, day);
  EXPECT_EQ(tree.DecayedShare("c"), 0);  // within nominal: the past does not count
}

TEST(DecayUseTest, StepsOfAnyLengthAgree) {
  const absl::Duration half_life = absl::Hours(7);
  double in_steps = 100;
  for (int i = 0; i < 1000; ++i) {
    in_steps = DecayUse(in_steps, 3, absl::Seconds(36), half_life);
  }
  EXPECT_NEAR(in_steps, DecayUse(100, 3, absl::Hours(10), half_life), 1e-6);
  EXPECT_NEAR(DecayUse(100, 0, half_life, half_life), 50, 1e-9);
  EXPECT_NEAR(AverageUse(DecayUse(0, 3, absl::Hours(700), half_life), half_life), 3, 1e-9);
  EXPECT_EQ(DecayUse(100, 3, absl::Seconds(1), absl::ZeroDuration()), 0);
  EXPECT_EQ(DecayUse(100, 3, absl::Seconds(2), absl::InfiniteDuration()), 106);
}

TEST(QueueTreeTest, AmountsAtTheEdgeDoNotWrap) {
  QueueSpec spec = Queue("a", 1);
  spec.limit = Gpus(2);
  QueueTree tree = Tree({spec}, 8);
  EXPECT_FALSE(tree.Admit("a", {{kGpu, kUnlimited}}).admitted);
  tree.Charge("a", {{kGpu, kUnlimited}}, kUnlimited);
  EXPECT_FALSE(tree.Admit("a", {{kGpu, kUnlimited}}).admitted);
  tree.Charge("a", {{kGpu, kUnlimited}}, -1);
}

TEST(WithSandboxesTest, GivesEveryUnitOne) {
  const std::vector<QueueSpec> specs =
      WithSandboxes({Queue("", 64), Queue("retail", 32), Queue("finance/sandbox", 1)},
                    {"finance", "hr", "retail"}, Gpus(2));
  QueueTree tree = Tree(specs, 80);
  ASSERT_NE(tree.FindSpec("hr/sandbox"), nullptr);
  EXPECT_TRUE(tree.FindSpec("hr/sandbox")->sandbox);
  EXPECT_EQ(tree.FindSpec("retail/sandbox")->nominal, Gpus(2));
  EXPECT_EQ(tree.FindSpec("finance/sandbox")->nominal, Gpus(1));  // as somebody wrote it
  EXPECT_FALSE(tree.FindSpec("finance/sandbox")->sandbox);
  EXPECT_EQ(tree.FindSpec("retail")->nominal, Gpus(34));
  EXPECT_EQ(tree.FindSpec("")->nominal, Gpus(68));
  EXPECT_EQ(tree.FindSpec("hr"), nullptr);
}

TEST(WithSandboxesTest, TheTreeStillAddsUp) {
  QueueSpec tight = Queue("retail", 4);
  tight.limit = Gpus(4);
  const auto specs = WithSandboxes({tight, Queue("retail/nlp", 4)}, {}, Gpus(2));
  EXPECT_THAT(QueueTree::Validate(specs), IsOk());
  EXPECT_THAT(WithSandboxes({tight}, {"hr"}, {}), SizeIs(1));
  EXPECT_THAT(WithSandboxes({}, {}, Gpus(2)), IsEmpty());
}

TEST(WithSandboxesTest, AUnitWithNothingElseStaysInTheRest) {
  QueueTree tree = Tree(WithSandboxes({Queue("retail", 8)}, {"hr"}, Gpus(1)), 16);
  EXPECT_TRUE(tree.RankOf("hr").rest);
  tree.Charge("retail", Gpus(6));
  EXPECT_TRUE(Admits(tree, "hr/people", 8));
  tree.Charge("hr/people", Gpus(8));
  EXPECT_TRUE(Admits(tree, "hr/sandbox", 1));
}

}  // namespace
}  // namespace oneai::fabric
