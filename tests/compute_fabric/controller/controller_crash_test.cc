// kill -9 of the controller at random moments, on a real SQLite store: no acknowledged job is lost,
// nothing is started twice.
#include <algorithm>
#include <random>

#include "base/store/sqlite_store.h"
#include "compute_fabric/jobs/job_state.h"
#include "gmock/gmock.h"
#include "tests/compute_fabric/controller/fake_fabric.h"

namespace oneai::fabric {
namespace {

class ControllerCrashTest : public testing::FakeFabric {
 protected:
  std::unique_ptr<Store> OpenStore() override {
    absl::StatusOr<std::unique_ptr<Store>> store = SqliteStore::Open(dir_ / "store.db");
    EXPECT_OK(store);
    return *std::move(store);
  }

  // One thing that can happen to a fabric.
  void Happen(std::mt19937& random, std::vector<std::string>& acknowledged) {
    const auto pick = [&](int max) { return std::uniform_int_distribution<int>(0, max)(random); };
    switch (pick(9)) {
      case 0:
      case 1: {
        v1::JobSpec spec = Spec("job", 1 + pick(2), 500);
        spec.set_gang(pick(2) > 0);
        spec.mutable_restart()->set_max_restarts(3);
        const absl::StatusOr<v1::SubmitJobResponse> job = Submit(spec);
        if (job.ok()) acknowledged.push_back(job->job().id());
        return;
      }
      case 2:
        StartController();
        return;
      case 3:
        ASSERT_OK(core_->loop.Step());
        return;
      case 4:
        if (!acknowledged.empty())
          Finish(acknowledged[pick(static_cast<int>(acknowledged.size()) - 1)],
                 pick(3) == 0 ? 1 : 0);
        return;
      case 5:
        if (!acknowledged.empty() && pick(4) == 0) {
          v1::CancelJobRequest cancel;
          cancel.set_id(acknowledged[pick(static_cast<int>(acknowledged.size()) - 1)]);
          ASSERT_OK(core_->jobs.Cancel(cancel, testing::Engineer()).status());
        }
        return;
      default:
        ASSERT_OK(agents_[pick(static_cast<int>(agents_.size()) - 1)]->Beat(core_->sessions));
        clock_.Advance(absl::Milliseconds(100));
        return;
    }
  }

  void Finish(const std::string& id, int exit_code) {
    for (auto& agent : agents_) {
      for (const auto& [job_id, rank, attempt] : agent->Running()) {
        if (job_id == id) agent->Exit(id, rank, exit_code);
      }
    }
  }
};

TEST_F(ControllerCrashTest, NoAcknowledgedJobIsLostAndNothingIsStartedTwice) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    agents_.clear();
    core_.reset();
    store_.reset();
    StartController();
    for (const char* name : {"node-a", "node-b", "node-c"}) AddNode(name, 1500);
    std::mt19937 random(seed);
    std::vector<std::string> acknowledged;
    for (int i = 0; i < 180 && !HasFatalFailure(); ++i) Happen(random, acknowledged);
    StartController();
    // Let everything come to its end.
    const auto all_finished = [&] {
      return std::all_of(acknowledged.begin(), acknowledged.end(), [&](const std::string& id) {
        const JobRecord job = core_->state.jobs().Find(id);
        return job.value == nullptr || IsFinished(job.value->state());
      });
    };
    for (int i = 0; i < 400 && !(all_finished() && NumRunning() == 0); ++i) {
      for (const std::string& id : acknowledged) Finish(id, 0);
      Round();
    }
    std::set<testing::FakeAgent::Key> started;
    for (auto& agent : agents_) {
      for (const v1::TaskAssignment& task : agent->started()) {
        EXPECT_TRUE(started.emplace(task.job_id(), task.rank(), task.attempt()).second)
            << task.job_id() << " rank " << task.rank() << " attempt " << task.attempt()
            << " was started twice";
      }
    }
    EXPECT_FALSE(acknowledged.empty());
    for (const std::string& id : acknowledged) {
      const JobRecord job = core_->state.jobs().Find(id);
      ASSERT_NE(job.value, nullptr) << id << " was acknowledged and is lost";
      EXPECT_TRUE(IsFinished(job.value->state())) << job.value->ShortDebugString();
    }
    EXPECT_EQ(NumRunning(), 0);
  }
}

TEST_F(ControllerCrashTest, ARestartKeepsRunningTasksAndGivesNodesAFreshLease) {
  StartController();
  AddNode("node-a", 2000);
  ASSERT_OK_AND_ASSIGN(const v1::SubmitJobResponse job, Submit(Spec("train", 1, 1000)));
  Rounds(3);
  const int64_t epoch = core_->state.epoch();
  clock_.Advance(absl::Minutes(10));  // the controller was away
  StartController();
  EXPECT_EQ(core_->state.epoch(), epoch + 1);
  Rounds(3, {"node-a"});
  EXPECT_EQ(core_->state.nodes().Find("node-a").value->state(), v1::READY);
  Rounds(2);
  EXPECT_EQ(JobOf(job.job().id()).state(), v1::RUNNING);
  EXPECT_EQ(Agent("node-a").started().size(), 1u);
}

TEST_F(ControllerCrashTest, AControllerThatWasReplacedCanWriteNoMore) {
  StartController();
  AddNode("node-a", 2000);
  testing::Core successor(store_.get(), &clock_, &options_, &hooks_);
  ASSERT_OK(successor.state.Load());
  EXPECT_THAT(
      Submit(Spec("train", 1, 1000)),
      ::oneai::testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                 ::testing::HasSubstr("another controller has taken over")));
}

}  // namespace
}  // namespace oneai::fabric
