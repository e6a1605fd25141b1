#include "compute_fabric/slurm/slurm_text.h"

#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

TEST(SlurmTextTest, ReadsNodesAsSinfoPrintsThem) {
  const auto nodes = ParseSinfo(
      "n1|127.0.0.1|idle|8|64000|gpu:h100:8|none\n"
      "n2|10.0.0.2|mixed|128|512000|gpu:a100:4(S:0,1),gpu:t4:1|none\n"
      "n1|127.0.0.1|idle|8|64000|gpu:h100:8|none\n"
      "n3|n3|drained*|8|64000|(null)|disk|idle|swap by=root\n");
  ASSERT_OK(nodes);
  ASSERT_EQ(nodes->size(), 3u);
  const SlurmNode& n1 = (*nodes)[0];
  EXPECT_EQ(n1.name, "n1");
  EXPECT_EQ(n1.address, "127.0.0.1");
  EXPECT_EQ(n1.cpus, 8);
  EXPECT_EQ(n1.memory_bytes, int64_t{64000} << 20);
  EXPECT_TRUE(n1.in_service());
  ASSERT_EQ((*nodes)[1].gres.size(), 2u);
  EXPECT_EQ((*nodes)[1].gres[0].type, "a100");
  EXPECT_EQ((*nodes)[1].gres[1].count, 1);
  EXPECT_FALSE((*nodes)[2].in_service());
  EXPECT_FALSE((*nodes)[2].responding);
  EXPECT_EQ((*nodes)[2].state, "drained");
  EXPECT_EQ((*nodes)[2].reason, "disk|idle|swap by=root");
}

TEST(SlurmTextTest, ReadsUntypedGresAndRefusesNonsense) {
  const auto gres = ParseGres("gpu:4,license");
  ASSERT_OK(gres);
  EXPECT_EQ((*gres)[0].count, 4);
  EXPECT_EQ((*gres)[0].type, "");
  EXPECT_EQ((*gres)[1].count, 1);
  EXPECT_THAT(ParseGres("gpu:h100:many"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gpu:h100:many")));
}

TEST(SlurmTextTest, ReadsJobsAndPassesOverWhatIsNone) {
  const std::vector<SlurmJob> jobs = ParseSqueue(
      "7|RUNNING|n3|None|a|b\n8|PENDING||JobHeldUser|x\n"
      "9|NODE_FAIL|n1|NodeDown|x\n10|COMPLETING|n1|None|x\n"
      "a name with\nx|RUNNING|n|r|j\n7|DANCING|n|r|j\n11|PENDING||BadConstraints|y\n");
  ASSERT_EQ(jobs.size(), 5u);
  EXPECT_EQ(jobs[0].state, SlurmJobState::kRunning);
  EXPECT_EQ(jobs[0].node, "n3");
  EXPECT_EQ(jobs[0].name, "a|b");
  EXPECT_EQ(jobs[1].state, SlurmJobState::kPending);
  EXPECT_TRUE(jobs[1].held());
  EXPECT_EQ(jobs[2].state, SlurmJobState::kFinished);
  EXPECT_EQ(jobs[3].state, SlurmJobState::kRunning);
  EXPECT_TRUE(jobs[4].hopeless());
  EXPECT_FALSE(jobs[4].held());
}

TEST(SlurmTextTest, NamesTheLineItDoesNotUnderstand) {
  EXPECT_THAT(ParseSinfo("n1|a|idle|8\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("n1|a")));
  EXPECT_THAT(ParseSinfo("n1|a|idle|-8|1|(null)|none\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-8")));
  EXPECT_THAT(ParseSubmitted("Submitted batch job"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("batch")));
  EXPECT_EQ(*ParseSubmitted("42;cluster\n"), 42);
}

}  // namespace
}  // namespace oneai::fabric
