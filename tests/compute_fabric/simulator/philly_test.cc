#include <cmath>

#include "absl/strings/str_cat.h"
#include "compute_fabric/simulator/csv_table.h"
#include "compute_fabric/simulator/philly_policies.h"
#include "compute_fabric/simulator/philly_tenants.h"
#include "compute_fabric/simulator/philly_trace.h"
#include "compute_fabric/simulator/replay_figures.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// One pool of 4: a long job of 2 runs, a job of 4 waits for it, small ones come behind.
std::vector<PhillyJob> SmallTrace() {
  return {{0, 100, 2, "a"}, {1, 50, 4, "a"}, {2, 99, 2, "b"}, {3, 200, 1, "b"}, {4, 5, 2, "b"}};
}

TEST(PhillyPoliciesTest, EachPolicyOnFiveJobs) {
  const std::vector<PhillyJob> jobs = SmallTrace();
  EXPECT_THAT(SimulatePool(jobs, 4, PoolPolicy::kFifo), ElementsAre(100, 150, 249, 350, 254));
  // Job 2 would end one second after the shadow time 100, job 3 much later; job 4 ends before.
  EXPECT_THAT(SimulatePool(jobs, 4, PoolPolicy::kEasy), ElementsAre(100, 150, 249, 350, 9));
  EXPECT_THAT(SimulatePool(jobs, 4, PoolPolicy::kSkip), ElementsAre(100, 350, 101, 300, 106));
  EXPECT_THAT(SimulatePool(jobs, 4, PoolPolicy::kSjf), ElementsAre(100, 351, 101, 301, 105));
  // SRTF: the job of 4 stops the first at 1 and is itself never stopped: 50 is shortest but for
  // job 4, which runs from 4 to 9.
  EXPECT_THAT(SimulatePool(jobs, 4, PoolPolicy::kSrtf)[4], 9);
}

TEST(PhillyTraceTest, ReadsInOrderOfSubmissionAndNamesWhatIsWrong) {
  const std::string header = "submit_time,duration_s,num_gpus,virtual_cluster\n";
  const auto good = CsvTable::Parse(
      "t.csv", absl::StrCat(header, "2017-09-04 10:30:41,7,8,x\n2017-09-04 10:30:40,0,1,y\n"));
  ASSERT_OK(good);
  const auto jobs = ReadPhillyTrace(*good);
  ASSERT_OK(jobs);
  EXPECT_EQ((*jobs)[0].tenant, "y");
  EXPECT_EQ((*jobs)[0].duration_s, 1);
  EXPECT_EQ((*jobs)[1].submit_s - (*jobs)[0].submit_s, 1);
  const auto bad = CsvTable::Parse("t.csv", absl::StrCat(header, "2017-09-04 10:30:41,7,0,x\n"));
  ASSERT_OK(bad);
  EXPECT_THAT(ReadPhillyTrace(*bad),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("t.csv"), HasSubstr("line 2"), HasSubstr("num_gpus"))));
}

TEST(PhillyTenantsTest, QuotasSumToThePool) {
  const auto quotas = QuotasByUse({{0, 30, 1, "a"}, {0, 10, 1, "b"}, {0, 20, 1, "c"}}, 10);
  EXPECT_THAT(quotas, ElementsAre(Pair("a", 5), Pair("b", 2), Pair("c", 3)));
}

TEST(PhillyFiguresTest, FairnessAgainstAPartOfTheCluster) {
  // Two jobs of 2 on 2 devices at once: alone on half of them each would take twice as long.
  const std::vector<JobOutcome> outcomes = {{0, 10, 10, 2}, {0, 10, 20, 2}};
  EXPECT_THAT(IsolatedByShare(outcomes, 2), ElementsAre(20, 20));
  const FairnessFigures figures = SummarizeFairness(outcomes, {20, 10});
  EXPECT_DOUBLE_EQ(figures.worst_rho, 2);
  EXPECT_DOUBLE_EQ(figures.share_above_1, 0.5);
}

struct ReferenceRow {
  PoolPolicy policy;
  std::vector<int64_t> figures;  // mean JCT, mean wait, p50, p95, p99, max wait, makespan
};

class PhillyReferenceTest : public ::testing::TestWithParam<ReferenceRow> {};

TEST_P(PhillyReferenceTest, ReproducesThePublishedRowToTheSecond) {
  const auto shared = oneai::testing::SharedDir();
  if (!shared) GTEST_SKIP() << "needs traces/philly-2017 of the shared folder";
  const auto table =
      CsvTable::Read(*shared / "traces" / "philly-2017" / "philly_jobs_2017-09_2017-11.csv");
  ASSERT_OK(table);
  const auto jobs = ReadPhillyTrace(*table);
  ASSERT_OK(jobs);
  const std::vector<int64_t> completed = SimulatePool(*jobs, 640, GetParam().policy);
  std::vector<JobOutcome> outcomes;
  for (size_t i = 0; i < jobs->size(); ++i) {
    const PhillyJob& job = (*jobs)[i];
    outcomes.push_back({job.submit_s, job.duration_s, completed[i], job.num_gpus});
  }
  const QueueingFigures f = SummarizeOutcomes(outcomes, 640);
  EXPECT_THAT(
      (std::vector<int64_t>{std::llround(f.mean_jct_s), std::llround(f.mean_wait_s), f.p50_wait_s,
                            f.p95_wait_s, f.p99_wait_s, f.max_wait_s, f.makespan_s}),
      ::testing::ElementsAreArray(GetParam().figures));
}

INSTANTIATE_TEST_SUITE_P(
    AllPolicies, PhillyReferenceTest,
    ::testing::Values(
        ReferenceRow{PoolPolicy::kFifo, {52984, 39966, 23683, 106597, 141840, 159124, 6896394}},
        ReferenceRow{PoolPolicy::kEasy, {44606, 31588, 10653, 92202, 127510, 153232, 6895853}},
        ReferenceRow{PoolPolicy::kSkip, {31675, 18657, 5807, 67392, 117536, 703288, 6868088}},
        ReferenceRow{PoolPolicy::kSjf, {18074, 5056, 133, 27162, 46977, 1348777, 6868088}},
        ReferenceRow{PoolPolicy::kSrtf, {13886, 868, 0, 0, 735, 2059079, 8003617}}));

}  // namespace
}  // namespace oneai::fabric
