// What an agent does with the controller's answers, without wires.
#include "compute_fabric/node/agent_session.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Tasks that run until they are stopped, and then end at once.
class FakeTasks final : public NodeTasks {
 public:
  void Start(const TaskOrder& order, absl::Time) override {
    known_.push_back({order.key, TaskPhase::kRunning});
    started.push_back(order.key.FolderName());
  }
  void Stop(const TaskKey& key, absl::Time) override { Move(key, TaskPhase::kStopping); }
  void Forget(const TaskKey& key, absl::Time) override { Move(key, TaskPhase::kForgotten); }
  bool Poll(absl::Time) override { return false; }
  std::vector<KnownTask> Known() const override { return known_; }
  std::vector<TaskStatus> Statuses() const override { return {}; }
  std::vector<TaskKey> Superseded() const override { return {}; }

  void End(const TaskKey& key) { Move(key, TaskPhase::kExited); }

  std::vector<std::string> started;

 private:
  void Move(const TaskKey& key, TaskPhase phase) {
    for (KnownTask& task : known_) {
      if (task.key == key) task.phase = phase;
    }
  }
  std::vector<KnownTask> known_;
};

class NoOutput final : public TaskOutput {
 public:
  void Follow(const TaskKey&) override {}
  void MarkEnded(const TaskKey&) override {}
  bool IsComplete(const TaskKey&) const override { return true; }
  void Drop(const TaskKey&) override {}
};

class AnyEpoch final : public EpochGate {
 public:
  absl::Status Admit(int64_t) override { return absl::OkStatus(); }
  int64_t epoch() const override { return 1; }
};

class AgentSessionTest : public ::testing::Test {
 protected:
  // An answer that wants these attempts of rank 0 to run.
  static v1::HeartbeatResponse Wants(const std::vector<int>& attempts) {
    v1::HeartbeatResponse response;
    response.set_epoch(1);
    response.set_desired_revision(7);
    response.set_lease_ms(5'000);
    for (const int attempt : attempts) {
      v1::TaskAssignment& task = *response.add_desired();
      task.set_job_id("job-a");
      task.set_attempt(attempt);
      task.add_command("/bin/true");
    }
    return response;
  }
  void Ask() { session_.Report(now_); }
  void Answer(v1::HeartbeatResponse response) { session_.Answered(std::move(response), now_); }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  FakeTasks tasks_;
  NoOutput output_;
  AnyEpoch epoch_;
  AgentSession session_{v1::NodeInfo(), "agent-1", &tasks_, &epoch_, &output_};
};

TEST_F(AgentSessionTest, StartsWhatIsWanted) {
  Ask();
  now_ += absl::Seconds(3);
  Answer(Wants({1}));
  EXPECT_THAT(tasks_.started, ElementsAre("job-a.0.1"));
}

TEST_F(AgentSessionTest, IgnoresAnAnswerThatIsOlderThanTwoLeasesAndAsksAgain) {
  Ask();
  now_ += absl::Seconds(57);  // suspended
  Answer(Wants({1}));
  EXPECT_THAT(tasks_.started, IsEmpty());
  EXPECT_TRUE(session_.changed());
  EXPECT_EQ(session_.Report(now_).seen_revision(), 0);
  Answer(Wants({1}));
  EXPECT_THAT(tasks_.started, ElementsAre("job-a.0.1"));
}

TEST_F(AgentSessionTest, WhatWaitedForItsPredecessorTooLongIsAskedForAgain) {
  Ask();
  Answer(Wants({1}));
  Ask();
  Answer(Wants({2}));  // stops attempt 1 first, which takes its time
  EXPECT_THAT(tasks_.started, ElementsAre("job-a.0.1"));
  now_ += absl::Seconds(30);  // cut off meanwhile
  tasks_.End({"job-a", 0, 1});
  session_.Advance(now_);
  EXPECT_THAT(tasks_.started, ElementsAre("job-a.0.1"));
  Ask();
  Answer(Wants({2}));
  EXPECT_THAT(tasks_.started, ElementsAre("job-a.0.1", "job-a.0.2"));
}

TEST_F(AgentSessionTest, AClockThatWasSetBackMakesNoAnswerYoungerOrOlder) {
  Ask();
  now_ -= absl::Hours(2);
  session_.Poll(now_);
  now_ += absl::Seconds(1);
  Answer(Wants({1}));
  EXPECT_THAT(tasks_.started, ElementsAre("job-a.0.1"));
}

TEST_F(AgentSessionTest, HoweverLongTheControllerIsAwayItIsAskedAboutEverySecond) {
  for (int i = 0; i < 20; ++i) {
    Ask();
    EXPECT_EQ(session_.Failed(now_, /*jitter=*/0.999), i == 0);
    EXPECT_LE(session_.next_heartbeat() - now_, absl::Seconds(1));
    EXPECT_GE(session_.next_heartbeat() - now_, absl::Milliseconds(100));
    now_ = session_.next_heartbeat();
  }
}

}  // namespace
}  // namespace oneai::fabric
