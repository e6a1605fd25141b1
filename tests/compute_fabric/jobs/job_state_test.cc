#include "compute_fabric/jobs/job_state.h"

#include <map>

#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using E = JobEvent;
using Row = std::map<JobEvent, v1::JobState>;

constexpr JobEvent kEvents[] = {
    E::kPlaced,        E::kRunning,          E::kSucceeded,      E::kStop,
    E::kTasksWait,     E::kTasksBackOff,     E::kStoppedRestart, E::kStoppedRequeue,
    E::kStoppedFailed, E::kStoppedCancelled, E::kBackoffEnded,   E::kRetry};

// The whole table, written a second time: every pair that is not here must be refused.
const std::map<v1::JobState, Row>& Table() {
  static const auto* const table = new std::map<v1::JobState, Row>{
      {v1::JOB_STATE_UNSPECIFIED, {}},
      {v1::PENDING,
       {{E::kPlaced, v1::STARTING},
        {E::kTasksBackOff, v1::BACKOFF},
        {E::kStoppedCancelled, v1::CANCELLED},
        {E::kSucceeded, v1::SUCCEEDED}}},
      {v1::STARTING,
       {{E::kPlaced, v1::STARTING},
        {E::kRunning, v1::RUNNING},
        {E::kSucceeded, v1::SUCCEEDED},
        {E::kStop, v1::STOPPING},
        {E::kTasksWait, v1::PENDING},
        {E::kTasksBackOff, v1::BACKOFF}}},
      {v1::RUNNING,
       {{E::kPlaced, v1::STARTING},
        {E::kRunning, v1::RUNNING},
        {E::kSucceeded, v1::SUCCEEDED},
        {E::kStop, v1::STOPPING},
        {E::kTasksWait, v1::PENDING},
        {E::kTasksBackOff, v1::BACKOFF}}},
      {v1::STOPPING,
       {{E::kStop, v1::STOPPING},
        {E::kStoppedRestart, v1::BACKOFF},
        {E::kStoppedRequeue, v1::PENDING},
        {E::kStoppedFailed, v1::FAILED},
        {E::kStoppedCancelled, v1::CANCELLED}}},
      {v1::BACKOFF,
       {{E::kPlaced, v1::STARTING},
        {E::kBackoffEnded, v1::PENDING},
        {E::kTasksWait, v1::PENDING},
        {E::kStoppedCancelled, v1::CANCELLED},
        {E::kSucceeded, v1::SUCCEEDED}}},
      {v1::SUCCEEDED, {{E::kRetry, v1::PENDING}}},
      {v1::FAILED, {{E::kRetry, v1::PENDING}}},
      {v1::CANCELLED, {{E::kRetry, v1::PENDING}}},
  };
  return *table;
}

TEST(JobStateTest, EveryPairOfStateAndEventIsAsTheTableSays) {
  EXPECT_EQ(Table().size(), static_cast<size_t>(v1::JobState_ARRAYSIZE));
  for (const auto& [state, row] : Table()) {
    for (JobEvent event : kEvents) {
      const auto expected = row.find(event);
      const std::optional<v1::JobState> next = Next(state, event);
      EXPECT_EQ(next.has_value(), expected != row.end())
          << JobStateName(state) << " event " << static_cast<int>(event);
      if (next && expected != row.end()) {
        EXPECT_EQ(*next, expected->second) << JobStateName(state);
      }
    }
  }
}

TEST(JobStateTest, FinishedStatesAreLeftOnlyByRetry) {
  for (v1::JobState state : {v1::SUCCEEDED, v1::FAILED, v1::CANCELLED}) {
    EXPECT_TRUE(IsFinished(state));
    for (JobEvent event : kEvents) EXPECT_EQ(Next(state, event).has_value(), event == E::kRetry);
  }
}

TEST(TaskStateTest, EveryPairOfStateAndEventIsAsTheTableSays) {
  const std::map<v1::TaskState, std::map<TaskEvent, v1::TaskState>> table = {
      {v1::TASK_STATE_UNSPECIFIED, {}},
      {v1::TASK_ASSIGNED,
       {{TaskEvent::kRunning, v1::TASK_RUNNING},
        {TaskEvent::kExited, v1::TASK_EXITED},
        {TaskEvent::kStop, v1::TASK_STOPPING},
        {TaskEvent::kLost, v1::TASK_LOST}}},
      {v1::TASK_RUNNING,
       {{TaskEvent::kRunning, v1::TASK_RUNNING},
        {TaskEvent::kExited, v1::TASK_EXITED},
        {TaskEvent::kStop, v1::TASK_STOPPING},
        {TaskEvent::kLost, v1::TASK_LOST}}},
      {v1::TASK_STOPPING,
       {{TaskEvent::kRunning, v1::TASK_STOPPING},
        {TaskEvent::kExited, v1::TASK_EXITED},
        {TaskEvent::kStop, v1::TASK_STOPPING},
        {TaskEvent::kLost, v1::TASK_LOST}}},
      {v1::TASK_EXITED,
       {{TaskEvent::kRunning, v1::TASK_EXITED},
        {TaskEvent::kExited, v1::TASK_EXITED},
        {TaskEvent::kStop, v1::TASK_EXITED},
        {TaskEvent::kLost, v1::TASK_EXITED}}},
      {v1::TASK_LOST,
       {{TaskEvent::kRunning, v1::TASK_LOST},
        {TaskEvent::kExited, v1::TASK_LOST},
        {TaskEvent::kStop, v1::TASK_LOST},
        {TaskEvent::kLost, v1::TASK_LOST}}},
  };
  EXPECT_EQ(table.size(), static_cast<size_t>(v1::TaskState_ARRAYSIZE));
  for (const auto& [state, row] : table) {
    for (TaskEvent event :
         {TaskEvent::kRunning, TaskEvent::kExited, TaskEvent::kStop, TaskEvent::kLost}) {
      const std::optional<v1::TaskState> next = Next(state, event);
      ASSERT_EQ(next.has_value(), row.count(event) > 0) << TaskStateName(state);
      if (next) {
        EXPECT_EQ(*next, row.at(event)) << TaskStateName(state);
      }
    }
  }
}

}  // namespace
}  // namespace oneai::fabric
