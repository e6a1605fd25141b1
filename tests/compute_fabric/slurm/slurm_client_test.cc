// Against real daemons.
#include "compute_fabric/slurm/slurm_client.h"

#include <signal.h>

#include "absl/time/clock.h"
#include "base/files/files.h"
#include "tests/compute_fabric/slurm/slurm_cluster.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::fabric {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;

class SlurmClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = SlurmCluster::WhyNot(); !why.empty()) GTEST_SKIP() << why;
    auto cluster = SlurmCluster::Start(dir_.path(), {});
    ASSERT_OK(cluster);
    cluster_ = *std::move(cluster);
    client_ = std::make_unique<SlurmClient>(cluster_->options());
  }

  SlurmSubmission Script(const std::string& name, const std::string& body) {
    const std::string file = (dir_.path() / (name + ".sh")).string();
    EXPECT_OK(WriteFileAtomically(file, "#!/bin/sh\n" + body + "\n", 0700));
    return {.name = name,
            .script_file = file,
            .output_file = (dir_.path() / (name + ".out")).string(),
            .working_dir = dir_.path().string()};
  }

  SlurmJob WaitFor(int64_t id, SlurmJobState state) {
    SlurmJob found;
    for (int i = 0; i < 300; ++i) {
      const auto jobs = client_->ListJobs();
      if (jobs.ok()) {
        for (const SlurmJob& job : *jobs) {
          if (job.id == id) found = job;
        }
      }
      if (found.id == id && found.state == state) return found;
      absl::SleepFor(absl::Milliseconds(100));
    }
    ADD_FAILURE() << "job " << id << " is " << found.state_name;
    return found;
  }

  void WaitForOutput(const std::string& name, const std::string& text) {
    absl::StatusOr<std::string> output;
    for (int i = 0; i < 300; ++i) {
      output = ReadFile(dir_.path() / (name + ".out"));
      if (output.ok() && output->find(text) != std::string::npos) return;
      absl::SleepFor(absl::Milliseconds(100));
    }
    ADD_FAILURE() << "no " << text << " in " << output.value_or("");
  }

  testing::TempDir dir_;
  std::unique_ptr<SlurmCluster> cluster_;
  std::unique_ptr<SlurmClient> client_;
};

TEST_F(SlurmClientTest, RunsAHeldJobOnTheNodeThatTheFabricChose) {
  const auto nodes = client_->ListNodes();
  ASSERT_OK(nodes);
  ASSERT_EQ(nodes->size(), 3u);
  EXPECT_EQ((*nodes)[2].gres[0].type, "h100");
  EXPECT_EQ((*nodes)[2].gres[0].count, 8);

  SlurmSubmission submission = Script("pinned", "echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES");
  submission.cpus = 2;
  submission.memory_bytes = int64_t{1} << 30;
  submission.gres = {{"gpu", "h100", 2}};
  const auto id = client_->SubmitHeld(submission);
  ASSERT_OK(id);
  EXPECT_TRUE(WaitFor(*id, SlurmJobState::kPending).held());
  ASSERT_OK(client_->PinAndRelease(*id, "n3"));
  EXPECT_EQ(WaitFor(*id, SlurmJobState::kFinished).state_name, "COMPLETED");
  EXPECT_EQ(*ReadFile(submission.output_file), "n3 0,1\n");
}

TEST_F(SlurmClientTest, SignalsAndCancels) {
  const auto id =
      client_->SubmitHeld(Script("trapped",
                                 "trap 'echo warned' USR1; trap 'echo ended; exit 0' TERM\n"
                                 "echo begun; while :; do sleep 0.1; done"));
  ASSERT_OK(id);
  ASSERT_OK(client_->PinAndRelease(*id, "n1"));
  WaitForOutput("trapped", "begun");
  ASSERT_OK(client_->Signal(*id, SIGUSR1));
  WaitForOutput("trapped", "warned");
  ASSERT_OK(client_->Cancel(*id));
  WaitFor(*id, SlurmJobState::kFinished);
  EXPECT_OK(client_->Cancel(*id));
}

TEST_F(SlurmClientTest, SaysWhatSlurmRefuses) {
  SlurmSubmission submission = Script("lost", "true");
  SlurmOptions elsewhere = cluster_->options();
  elsewhere.partition = "nowhere";
  EXPECT_THAT(SlurmClient(elsewhere).SubmitHeld(submission),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("partition")));
  // Slurm takes a held job whatever it asks for, and refuses to let it go.
  submission.gres = {{"gpu", "h100", 99}};
  const auto id = client_->SubmitHeld(submission);
  ASSERT_OK(id);
  ASSERT_OK(client_->PinAndRelease(*id, "n1"));
  std::string reason;
  for (int i = 0; i < 100 && reason != "BadConstraints"; ++i) {
    absl::SleepFor(absl::Milliseconds(100));
    const auto jobs = client_->ListJobs();
    ASSERT_OK(jobs);
    for (const SlurmJob& job : *jobs) {
      if (job.id == *id) reason = job.hopeless() ? "BadConstraints" : job.state_name + job.reason;
    }
  }
  EXPECT_EQ(reason, "BadConstraints");
  cluster_->KillController();
  SlurmOptions impatient = cluster_->options();
  impatient.timeout = absl::Seconds(2);
  EXPECT_THAT(SlurmClient(impatient).ListNodes(), StatusIs(absl::StatusCode::kUnavailable, _));
}

}  // namespace
}  // namespace oneai::fabric
