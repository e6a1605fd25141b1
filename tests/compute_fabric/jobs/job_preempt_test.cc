#include "compute_fabric/jobs/job_lifecycle.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JobPreemptTest : public ::testing::Test {
 protected:
  JobPreemptTest() {
    job_.set_id("job-1");
    job_.set_state(v1::PENDING);
    job_.mutable_spec()->set_gang(true);
    job_.mutable_spec()->set_num_tasks(2);
  }
  void Warn() {
    job_.mutable_spec()->mutable_preemption()->set_warning_signal(10);
    job_.mutable_spec()->mutable_preemption()->set_warning_ms(60'000);
  }
  void Place(int num_tasks) {
    JobPlacement placement{.job_id = "job-1"};
    for (int rank : RanksToPlace(job_, now_)) {
      if (rank < num_tasks)
        placement.tasks.push_back({.rank = rank, .node = "n", .address = "127.0.0.1"});
    }
    ApplyPlacement(job_, placement, now_, events_);
  }
  void Run(int num_tasks) {
    Place(num_tasks);
    for (int rank = 0; rank < num_tasks; ++rank) Report(rank, v1::TASK_RUNNING);
    ASSERT_EQ(job_.state(), v1::RUNNING);
  }
  void Report(int rank, v1::TaskState state, int exit_code = 0) {
    v1::TaskReport report;
    report.set_rank(rank);
    for (const v1::Task& task : job_.tasks()) {
      if (task.rank() == rank) report.set_attempt(task.attempt());
    }
    report.set_state(state);
    report.set_exit_code(exit_code);
    ApplyReport(job_, report, now_, events_);
    Advance(job_, now_, events_);
  }
  void Pass(absl::Duration time) {
    now_ += time;
    Advance(job_, now_, events_);
  }
  void EndAll(int exit_code) {
    const int num_tasks = job_.tasks_size();
    for (int rank = 0; rank < num_tasks; ++rank) Report(rank, v1::TASK_EXITED, exit_code);
  }
  bool Preempt(v1::StopCause cause = v1::STOP_PREEMPTED) {
    return ApplyPreempt(job_, cause, "job-9 (high) needs its place", now_, events_);
  }

  v1::Job job_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  EventDrafts events_;
};

TEST_F(JobPreemptTest, WithoutAWarningItStopsAtOnceAndWaitsAgainAtNoCost) {
  Run(2);
  EXPECT_TRUE(Preempt());
  EXPECT_EQ(job_.state(), v1::STOPPING);
  EndAll(143);
  EXPECT_EQ(job_.state(), v1::PENDING);
  EXPECT_EQ(job_.num_restarts(), 0);
  EXPECT_EQ(job_.num_preemptions(), 1);
  EXPECT_FALSE(job_.returning());
  EXPECT_THAT(job_.reasons(0), HasSubstr("job-9 (high) needs its place"));
  Run(2);
  EXPECT_EQ(job_.attempt(), 2);
  EXPECT_EQ(job_.stop_cause(), v1::STOP_CAUSE_UNSPECIFIED);
}

TEST_F(JobPreemptTest, AWarningComesFirstAndItsTimeIsKept) {
  Warn();
  Run(2);
  EXPECT_TRUE(Preempt());
  EXPECT_FALSE(Preempt()) << "once is enough";
  EXPECT_EQ(job_.state(), v1::RUNNING);
  EXPECT_EQ(NextAdvanceTime(job_, now_), now_ + absl::Minutes(1));
  Pass(absl::Seconds(59));
  EXPECT_EQ(job_.state(), v1::RUNNING);
  Pass(absl::Seconds(1));
  EXPECT_EQ(job_.state(), v1::STOPPING);
  EXPECT_EQ(job_.stop_cause(), v1::STOP_PREEMPTED);
}

TEST_F(JobPreemptTest, ACheckpointAfterTheWarningEndsTheWait) {
  Warn();
  Run(2);
  Preempt();
  ApplyCheckpoint(job_, "checkpoint-7", now_, events_);
  EXPECT_EQ(job_.state(), v1::STOPPING);
  EXPECT_EQ(job_.last_checkpoint(), "checkpoint-7");
}

TEST_F(JobPreemptTest, ATaskThatEndsByTheWarningCountsAsStoppedNotAsFailed) {
  Warn();
  Run(2);
  Preempt();
  Report(0, v1::TASK_EXITED, 138);  // killed by the signal it does not know
  EXPECT_EQ(job_.state(), v1::STOPPING);
  Report(1, v1::TASK_EXITED, 1);
  EXPECT_EQ(job_.state(), v1::PENDING);
  EXPECT_EQ(job_.num_restarts(), 0);
  EXPECT_EQ(job_.warned_unix_ms(), 0);
}

TEST_F(JobPreemptTest, AGangThatFinishesAfterTheWarningHasSucceeded) {
  Warn();
  Run(2);
  Preempt();
  EndAll(0);
  EXPECT_EQ(job_.state(), v1::SUCCEEDED);
  EXPECT_EQ(job_.stop_cause(), v1::STOP_CAUSE_UNSPECIFIED);
}

TEST_F(JobPreemptTest, CancelAndTimeLimitStillHoldAfterTheWarning) {
  Warn();
  job_.mutable_spec()->set_time_limit_ms(1000);
  Run(2);
  Preempt();
  Pass(absl::Seconds(1));
  EXPECT_EQ(job_.stop_cause(), v1::STOP_TIME_LIMIT);
  EndAll(143);
  EXPECT_EQ(job_.state(), v1::FAILED);
}

TEST_F(JobPreemptTest, TheTimeLimitDoesNotCountTheWaitForANewPlace) {
  job_.mutable_spec()->set_time_limit_ms(10'000);
  Run(2);
  Pass(absl::Seconds(5));
  Preempt();
  EndAll(143);
  Pass(absl::Hours(5));
  Run(2);
  Pass(absl::Seconds(9));
  EXPECT_EQ(job_.state(), v1::RUNNING);
}

TEST_F(JobPreemptTest, ADrainedGangHasAClaimToComeBackFirst) {
  Run(2);
  Preempt(v1::STOP_DRAIN);
  EndAll(143);
  EXPECT_TRUE(job_.returning());
  EXPECT_EQ(job_.num_preemptions(), 0);
  Place(2);
  EXPECT_FALSE(job_.returning());
}

TEST_F(JobPreemptTest, AReplicaThatIsMovedCostsNoRestartAndLeavesTheOthers) {
  job_.mutable_spec()->set_gang(false);
  job_.mutable_spec()->set_long_running(true);
  Run(2);
  EXPECT_TRUE(ApplyTaskMove(job_, 1, "node is drained", events_));
  EXPECT_FALSE(ApplyTaskMove(job_, 1, "again", events_));
  EXPECT_THAT(RanksToPlace(job_, now_), IsEmpty());
  Report(1, v1::TASK_EXITED, 0);
  EXPECT_THAT(RanksToPlace(job_, now_), ElementsAre(1));
  EXPECT_EQ(job_.state(), v1::RUNNING);
  EXPECT_EQ(job_.num_restarts(), 0);
  EXPECT_EQ(job_.tasks(1).restarts(), 0);
}

TEST_F(JobPreemptTest, IndependentTasksToldToStopRunAgainAndFinishedOnesDoNot) {
  job_.mutable_spec()->set_gang(false);
  job_.mutable_spec()->set_num_tasks(3);
  Run(3);
  Report(0, v1::TASK_EXITED, 0);
  Preempt();
  Report(1, v1::TASK_EXITED, 0);  // it left when asked to, whatever it says
  Report(2, v1::TASK_EXITED, 143);
  EXPECT_EQ(job_.state(), v1::PENDING);
  EXPECT_THAT(RanksToPlace(job_, now_), ElementsAre(1, 2));
}

TEST_F(JobPreemptTest, AnElasticGangRunsWithWhatItGetsAndResizesAtACheckpoint) {
  job_.mutable_spec()->set_num_tasks(4);
  job_.mutable_spec()->set_num_tasks_min(2);
  EXPECT_EQ(RanksToPlace(job_, now_).size(), 4u);
  Run(2);
  EXPECT_EQ(NumTasks(job_), 2);
  EXPECT_FALSE(ApplyResize(job_, 5, "idle", events_));
  EXPECT_FALSE(ApplyResize(job_, 1, "shrink", events_));
  EXPECT_TRUE(ApplyResize(job_, 3, "2 devices are idle", events_));
  EXPECT_FALSE(ApplyResize(job_, 3, "2 devices are idle", events_));
  EXPECT_EQ(job_.state(), v1::RUNNING) << "until it has a checkpoint";
  ApplyCheckpoint(job_, "checkpoint-1", now_, events_);
  EXPECT_EQ(job_.state(), v1::STOPPING);
  EXPECT_EQ(job_.stop_cause(), v1::STOP_RESIZE);
  EndAll(143);
  EXPECT_TRUE(job_.returning());
  EXPECT_THAT(RanksToPlace(job_, now_), ElementsAre(0, 1, 2));
  Run(3);
  EXPECT_EQ(NumTasks(job_), 3);
  EXPECT_EQ(job_.num_tasks_wanted(), 0);
  EXPECT_EQ(job_.num_restarts(), 0);
  EndAll(0);
  EXPECT_EQ(job_.state(), v1::SUCCEEDED);
}

}  // namespace
}  // namespace oneai::fabric
