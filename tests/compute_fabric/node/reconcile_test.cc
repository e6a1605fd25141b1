#include "compute_fabric/node/reconcile.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

const TaskKey kA = {"job-a", 0, 1};
const TaskKey kB = {"job-b", 0, 1};

TEST(ReconcileTest, StartsWhatIsMissing) {
  EXPECT_EQ(Reconcile({.run = {kB, kA}}, {}), (ReconcilePlan{.start = {kB, kA}}));
}

TEST(ReconcileTest, StopsWhatIsNotDesired) {
  EXPECT_EQ(Reconcile({}, {{kA, TaskPhase::kRunning}}), (ReconcilePlan{.stop = {kA}}));
}

TEST(ReconcileTest, LeavesRunningDesiredTasksAlone) {
  EXPECT_EQ(Reconcile({.run = {kA}}, {{kA, TaskPhase::kRunning}}), ReconcilePlan{});
}

TEST(ReconcileTest, NeverStartsAKnownAttemptAgain) {
  for (TaskPhase phase :
       {TaskPhase::kRunning, TaskPhase::kStopping, TaskPhase::kExited, TaskPhase::kForgotten}) {
    EXPECT_TRUE(Reconcile({.run = {kA}}, {{kA, phase, true}}).start.empty());
  }
}

TEST(ReconcileTest, StopsOnce) {
  EXPECT_EQ(Reconcile({}, {{kA, TaskPhase::kStopping}}), ReconcilePlan{});
}

TEST(ReconcileTest, ForgetsOnlyWhenEndedReleasedAndShipped) {
  const DesiredTasks release = {.forget = {kA}};
  EXPECT_EQ(Reconcile(release, {{kA, TaskPhase::kExited, true}}), (ReconcilePlan{.forget = {kA}}));
  EXPECT_EQ(Reconcile(release, {{kA, TaskPhase::kExited, false}}), ReconcilePlan{});
  EXPECT_EQ(Reconcile({}, {{kA, TaskPhase::kExited, true}}), ReconcilePlan{});
  EXPECT_EQ(Reconcile(release, {{kA, TaskPhase::kRunning, true}}), (ReconcilePlan{.stop = {kA}}));
  EXPECT_EQ(Reconcile({.run = {kA}, .forget = {kA}}, {{kA, TaskPhase::kExited, true}}),
            ReconcilePlan{});
}

TEST(ReconcileTest, ANewAttemptWaitsForTheOldOne) {
  const TaskKey next = {"job-a", 0, 2};
  EXPECT_EQ(Reconcile({.run = {next}}, {{kA, TaskPhase::kRunning}}), (ReconcilePlan{.stop = {kA}}));
  EXPECT_EQ(Reconcile({.run = {next}}, {{kA, TaskPhase::kStopping}}), ReconcilePlan{});
  EXPECT_EQ(Reconcile({.run = {next}}, {{kA, TaskPhase::kExited}}),
            (ReconcilePlan{.start = {next}}));
}

TEST(ReconcileTest, OtherRanksOfTheJobDoNotWait) {
  const TaskKey rank_1 = {"job-a", 1, 2};
  EXPECT_EQ(Reconcile({.run = {kA, rank_1}}, {{kA, TaskPhase::kRunning}}),
            (ReconcilePlan{.start = {rank_1}}));
}

TEST(ReconcileTest, TwoAttemptsInOneAnswerDoNotStartTogether) {
  EXPECT_EQ(Reconcile({.run = {kA, {"job-a", 0, 2}}}, {}), (ReconcilePlan{.start = {kA}}));
}

TEST(TaskKeyTest, FolderNamesRoundTrip) {
  const TaskKey key = {"job-abc_9", 3, 12};
  EXPECT_EQ(key.FolderName(), "job-abc_9.3.12");
  EXPECT_EQ(TaskKey::FromFolderName("job-abc_9.3.12"), key);
}

TEST(TaskKeyTest, RefusesWhatIsNoTask) {
  for (const char* name :
       {"", "job", "job.1", "job.1.2.3", "job.x.1", "job.-1.1", "../x.1.1", ".1.1"}) {
    EXPECT_FALSE(TaskKey::FromFolderName(name).has_value()) << name;
  }
  EXPECT_FALSE((TaskKey{"a/b", 0, 1}.IsValid()));
  EXPECT_FALSE((TaskKey{std::string(65, 'a'), 0, 1}.IsValid()));
}

}  // namespace
}  // namespace oneai::fabric
