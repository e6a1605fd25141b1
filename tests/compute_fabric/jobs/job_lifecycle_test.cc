#include "compute_fabric/jobs/job_lifecycle.h"

#include "compute_fabric/jobs/job_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class JobLifecycleTest : public ::testing::Test {
 protected:
  void Start(bool gang, int num_tasks, int max_restarts) {
    job_.set_id("job-1");
    job_.set_state(v1::PENDING);
    job_.mutable_spec()->set_gang(gang);
    job_.mutable_spec()->set_num_tasks(num_tasks);
    job_.mutable_spec()->mutable_restart()->set_max_restarts(max_restarts);
  }
  void Place() {
    JobPlacement placement{.job_id = "job-1"};
    for (int rank : RanksToPlace(job_, now_)) {
      placement.tasks.push_back(
          {.rank = rank, .node = "node-" + std::to_string(rank), .address = "127.0.0.1"});
    }
    ASSERT_FALSE(placement.tasks.empty());
    ApplyPlacement(job_, placement, now_, events_);
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
  void Lose(int rank) {
    ApplyTaskLost(job_, rank, "lease ended", now_, events_);
    Advance(job_, now_, events_);
  }
  void Pass(absl::Duration time) {
    now_ += time;
    Advance(job_, now_, events_);
  }
  int NumPlaceable() { return static_cast<int>(RanksToPlace(job_, now_).size()); }

  v1::Job job_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  EventDrafts events_;
};

TEST_F(JobLifecycleTest, GangRunsWhenAllRunAndSucceedsWhenAllExitWithZero) {
  Start(true, 2, 0);
  Place();
  EXPECT_EQ(job_.state(), v1::STARTING);
  Report(0, v1::TASK_RUNNING);
  EXPECT_EQ(job_.state(), v1::STARTING);
  Report(1, v1::TASK_RUNNING);
  EXPECT_EQ(job_.state(), v1::RUNNING);
  Report(1, v1::TASK_EXITED);
  EXPECT_EQ(job_.state(), v1::RUNNING);
  Report(0, v1::TASK_EXITED);
  EXPECT_EQ(job_.state(), v1::SUCCEEDED);
  EXPECT_TRUE(job_.has_ended());
}

TEST_F(JobLifecycleTest, GangRestartsAsOneOnlyAfterEveryTaskEnded) {
  Start(true, 2, 1);
  Place();
  Report(0, v1::TASK_RUNNING);
  Report(1, v1::TASK_RUNNING);
  Report(1, v1::TASK_EXITED, 3);
  EXPECT_EQ(job_.state(), v1::STOPPING);
  EXPECT_EQ(job_.tasks(0).state(), v1::TASK_STOPPING);
  Pass(absl::Hours(1));
  EXPECT_EQ(job_.state(), v1::STOPPING) << "rank 0 may still run";
  EXPECT_EQ(NumPlaceable(), 0);
  Report(0, v1::TASK_EXITED, 143);
  EXPECT_EQ(job_.state(), v1::BACKOFF);
  EXPECT_EQ(NumPlaceable(), 0);
  EXPECT_THAT(job_.reasons(0), HasSubstr("rank 1 exited with 3"));
  Pass(absl::Seconds(1));
  EXPECT_EQ(job_.state(), v1::PENDING);
  Place();
  EXPECT_EQ(job_.attempt(), 2);
  Report(0, v1::TASK_EXITED, 4);
  Report(1, v1::TASK_EXITED, 143);
  EXPECT_EQ(job_.state(), v1::FAILED);
  EXPECT_THAT(job_.reasons(0), HasSubstr("rank 0 exited with 4 (after 1 restarts)"));
}

TEST_F(JobLifecycleTest, NodeLossCostsNoRestartEvenWhenThePeersFailFirst) {
  Start(true, 2, 0);
  Place();
  Report(0, v1::TASK_RUNNING);
  Report(1, v1::TASK_RUNNING);
  Report(0, v1::TASK_EXITED, 1);  // its peer's connection broke
  EXPECT_EQ(job_.state(), v1::STOPPING);
  Lose(1);
  EXPECT_EQ(job_.state(), v1::PENDING);
  EXPECT_EQ(job_.num_restarts(), 0);
  EXPECT_THAT(job_.reasons(0), HasSubstr("node node-1 was lost"));
}

TEST_F(JobLifecycleTest, BackoffDoublesUpToItsBound) {
  v1::JobSpec spec;
  spec.mutable_restart()->set_backoff_initial_ms(1000);
  spec.mutable_restart()->set_backoff_max_ms(5000);
  EXPECT_EQ(BackoffBefore(spec, 1), absl::Seconds(1));
  EXPECT_EQ(BackoffBefore(spec, 2), absl::Seconds(2));
  EXPECT_EQ(BackoffBefore(spec, 3), absl::Seconds(4));
  EXPECT_EQ(BackoffBefore(spec, 4), absl::Seconds(5));
  EXPECT_EQ(BackoffBefore(spec, 1'000'000), absl::Seconds(5));
}

TEST_F(JobLifecycleTest, ReportsOfAnotherAttemptAreIgnored) {
  Start(true, 1, 0);
  Place();
  v1::TaskReport report;
  report.set_attempt(7);
  report.set_state(v1::TASK_EXITED);
  report.set_exit_code(1);
  EXPECT_FALSE(ApplyReport(job_, report, now_, events_));
  EXPECT_EQ(job_.tasks(0).state(), v1::TASK_ASSIGNED);
}

TEST_F(JobLifecycleTest, CancelWaitsForTheTasksAndIsIdempotent) {
  Start(true, 1, 5);
  Place();
  Report(0, v1::TASK_RUNNING);
  EXPECT_TRUE(ApplyCancel(job_, "enough", now_, events_));
  EXPECT_EQ(job_.state(), v1::STOPPING);
  EXPECT_FALSE(ApplyCancel(job_, "again", now_, events_));
  Report(0, v1::TASK_EXITED, 1);
  EXPECT_EQ(job_.state(), v1::CANCELLED);
  EXPECT_THAT(job_.reasons(), ElementsAre("cancelled: enough"));
}

TEST_F(JobLifecycleTest, CancelOfAPendingOrWaitingJobIsImmediate) {
  Start(true, 1, 5);
  v1::Job pending = job_;
  EXPECT_TRUE(ApplyCancel(pending, "", now_, events_));
  EXPECT_EQ(pending.state(), v1::CANCELLED);
  Place();
  Report(0, v1::TASK_EXITED, 1);
  ASSERT_EQ(job_.state(), v1::BACKOFF);
  EXPECT_TRUE(ApplyCancel(job_, "", now_, events_));
  EXPECT_EQ(job_.state(), v1::CANCELLED);
}

TEST_F(JobLifecycleTest, CancelDuringARestartWins) {
  Start(true, 2, 5);
  Place();
  Report(0, v1::TASK_EXITED, 1);
  ASSERT_EQ(job_.state(), v1::STOPPING);
  EXPECT_TRUE(ApplyCancel(job_, "", now_, events_));
  Report(1, v1::TASK_EXITED, 143);
  EXPECT_EQ(job_.state(), v1::CANCELLED);
}

TEST_F(JobLifecycleTest, TimeLimitStopsAndFails) {
  Start(true, 1, 5);
  job_.mutable_spec()->set_time_limit_ms(1000);
  Place();
  Report(0, v1::TASK_RUNNING);
  Pass(absl::Milliseconds(999));
  EXPECT_EQ(job_.state(), v1::RUNNING);
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(job_.state(), v1::STOPPING);
  Report(0, v1::TASK_EXITED, 143);
  EXPECT_EQ(job_.state(), v1::FAILED);
  EXPECT_THAT(job_.reasons(0), HasSubstr("time limit"));
}

TEST_F(JobLifecycleTest, ReplicasRestartOneByOneWithBackoff) {
  Start(false, 2, -1);
  job_.mutable_spec()->set_long_running(true);
  Place();
  Report(0, v1::TASK_RUNNING);
  Report(1, v1::TASK_RUNNING);
  Report(1, v1::TASK_EXITED, 0);  // for a replica an end with 0 is a failure too
  EXPECT_EQ(job_.state(), v1::RUNNING);
  EXPECT_EQ(NumPlaceable(), 0);
  Pass(absl::Seconds(1));
  EXPECT_THAT(RanksToPlace(job_, now_), ElementsAre(1));
  Place();
  EXPECT_EQ(job_.tasks(1).attempt(), 2);
  EXPECT_EQ(job_.tasks(0).attempt(), 1);
  Report(1, v1::TASK_EXITED, 1);
  Pass(absl::Seconds(1));
  EXPECT_EQ(NumPlaceable(), 0) << "the backoff has doubled";
  Pass(absl::Seconds(1));
  EXPECT_EQ(NumPlaceable(), 1);
}

TEST_F(JobLifecycleTest, LostReplicaIsPlacedAtOnce) {
  Start(false, 2, 0);
  job_.mutable_spec()->set_long_running(true);
  Place();
  Report(0, v1::TASK_RUNNING);
  Lose(1);
  EXPECT_THAT(RanksToPlace(job_, now_), ElementsAre(1));
  EXPECT_EQ(job_.num_restarts(), 0);
}

TEST_F(JobLifecycleTest, AllReplicasWaitingIsBackoffThenPending) {
  Start(false, 1, -1);
  Place();
  Report(0, v1::TASK_EXITED, 1);
  EXPECT_EQ(job_.state(), v1::BACKOFF);
  Pass(absl::Seconds(1));
  EXPECT_EQ(job_.state(), v1::PENDING);
  Place();
  EXPECT_EQ(job_.state(), v1::STARTING);
}

TEST_F(JobLifecycleTest, ScalingDownStopsTheSurplusAndForgetsIt) {
  Start(false, 3, -1);
  job_.mutable_spec()->set_long_running(true);
  Place();
  for (int rank : {0, 1, 2}) Report(rank, v1::TASK_RUNNING);
  EXPECT_TRUE(ApplyScale(job_, 1));
  EXPECT_EQ(job_.tasks(1).state(), v1::TASK_STOPPING);
  Report(1, v1::TASK_EXITED, 0);
  Report(2, v1::TASK_EXITED, 0);
  EXPECT_EQ(job_.tasks_size(), 1);
  EXPECT_EQ(job_.state(), v1::RUNNING);
  EXPECT_TRUE(ApplyScale(job_, 2));
  EXPECT_THAT(RanksToPlace(job_, now_), ElementsAre(1));
}

TEST_F(JobLifecycleTest, RetryStartsANewAttempt) {
  Start(true, 1, 0);
  EXPECT_FALSE(ApplyRetry(job_, events_));
  Place();
  Report(0, v1::TASK_EXITED, 1);
  ASSERT_EQ(job_.state(), v1::FAILED);
  EXPECT_TRUE(ApplyRetry(job_, events_));
  EXPECT_EQ(job_.state(), v1::PENDING);
  EXPECT_THAT(job_.reasons(), IsEmpty());
  Place();
  EXPECT_EQ(job_.attempt(), 2);
}

TEST_F(JobLifecycleTest, StoppedBeforeItStartedIsAnEnd) {
  Start(true, 1, 0);
  Place();
  ApplyCancel(job_, "", now_, events_);
  ASSERT_EQ(job_.state(), v1::STOPPING);
  EXPECT_TRUE(ApplyTaskUnknown(job_, 0, now_, events_));
  Advance(job_, now_, events_);
  EXPECT_EQ(job_.state(), v1::CANCELLED);
}

}  // namespace
}  // namespace oneai::fabric
