#include "compute_fabric/scheduler/cluster/job_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

JobView Job(const std::string& id, int priority, int submitted_s) {
  JobView job;
  job.id = id;
  job.queue = "retail/nlp";
  job.priority = priority;
  job.submitted = absl::FromUnixSeconds(submitted_s);
  job.ranks = {0};
  return job;
}

std::vector<std::string> Order(const JobTable& jobs, const std::string& queue) {
  std::vector<std::string> ids;
  jobs.VisitWaiting(queue, [&](const JobView& job) {
    ids.push_back(job.id);
    return true;
  });
  return ids;
}

TEST(JobTableTest, OrdersByPriorityThenReturningThenSubmission) {
  JobTable jobs;
  jobs.Set(Job("late", 0, 20));
  jobs.Set(Job("early", 0, 10));
  jobs.Set(Job("important", 5, 30));
  JobView back = Job("back", 0, 40);
  back.returning = true;
  jobs.Set(back);
  EXPECT_THAT(Order(jobs, "retail/nlp"), ElementsAre("important", "back", "early", "late"));
  EXPECT_THAT(jobs.QueuesWithWaiting(), ElementsAre("retail/nlp"));
}

TEST(JobTableTest, GroupsEqualRequestsIntoClasses) {
  JobTable jobs;
  const JobView* a = jobs.Set(Job("a", 0, 1));
  const JobView* b = jobs.Set(Job("b", 3, 2));
  JobView other = Job("c", 0, 3);
  other.shape.cpu_milli = 1;
  const JobView* c = jobs.Set(other);
  EXPECT_EQ(jobs.ClassOf(*a), jobs.ClassOf(*b));
  EXPECT_NE(jobs.ClassOf(*a), jobs.ClassOf(*c));
  EXPECT_EQ(jobs.WaitingClasses("retail/nlp").size(), 2u);
  EXPECT_EQ(jobs.FirstWaiting("retail/nlp", jobs.ClassOf(*a)), b);
  EXPECT_EQ(jobs.FirstWaiting("retail/nlp", jobs.ClassOf(*a), b), a);
  EXPECT_EQ(jobs.FirstWaiting("retail/nlp", jobs.ClassOf(*a), a), nullptr);
}

TEST(JobTableTest, WalksOnAfterAJobThatWasPlaced) {
  JobTable jobs;
  const JobView* a = jobs.Set(Job("a", 0, 1));
  jobs.Set(Job("b", 0, 2));
  const JobClass job_class = jobs.ClassOf(*a);
  TaskPlacement task;
  task.node = "n1";
  jobs.Place("a", {task}, absl::FromUnixSeconds(5));
  ASSERT_NE(jobs.FirstWaiting("retail/nlp", job_class, a), nullptr);
  EXPECT_EQ(jobs.FirstWaiting("retail/nlp", job_class, a)->id, "b");
  EXPECT_EQ(jobs.num_waiting(), 1);
  EXPECT_THAT(jobs.OnNode("n1"), ElementsAre(a));
  EXPECT_EQ(a->started, absl::FromUnixSeconds(5));
  EXPECT_THAT(a->ranks, IsEmpty());
}

TEST(JobTableTest, LeavesTheMissingRanksOfAJobThatIsNoGang) {
  JobTable jobs;
  JobView job = Job("a", 0, 1);
  job.tasks = 3;
  job.ranks = {0, 1, 2};
  const JobView* a = jobs.Set(job);
  TaskPlacement task;
  task.rank = 1;
  task.node = "n1";
  jobs.Place("a", {task}, absl::FromUnixSeconds(5));
  EXPECT_THAT(a->ranks, ElementsAre(0, 2));
  EXPECT_THAT(Order(jobs, "retail/nlp"), ElementsAre("a"));
}

TEST(JobTableTest, GatedAndStoppingJobsDoNotWait) {
  JobTable jobs;
  JobView gated = Job("a", 0, 1);
  gated.gates.push_back("waits for job-x (afterok)");
  jobs.Set(gated);
  JobView stopping = Job("b", 0, 2);
  stopping.stopping = true;
  jobs.Set(stopping);
  EXPECT_EQ(jobs.num_waiting(), 0);
  EXPECT_THAT(jobs.QueuesWithWaiting(), IsEmpty());
  EXPECT_EQ(jobs.size(), 2);
}

TEST(JobTableTest, VisitsRunningJobsByExpectedEnd) {
  JobTable jobs;
  const auto running = [&](const std::string& id, absl::Duration limit) {
    JobView job = Job(id, 0, 1);
    job.ranks.clear();
    job.placed.emplace_back();
    job.started = absl::FromUnixSeconds(100);
    job.time_limit = limit;
    jobs.Set(job);
  };
  running("never", absl::InfiniteDuration());
  running("later", absl::Hours(2));
  running("soon", absl::Hours(1));
  std::vector<std::string> ids;
  jobs.VisitRunning([&](const JobView& job) {
    ids.push_back(job.id);
    return true;
  });
  EXPECT_THAT(ids, ElementsAre("soon", "later", "never"));
  EXPECT_EQ(jobs.LowestPriorityHeld("retail/nlp"), 0);
  jobs.MarkStopping("soon");
  jobs.MarkStopping("later");
  jobs.MarkStopping("never");
  EXPECT_EQ(jobs.LowestPriorityHeld("retail/nlp"), std::nullopt);
}

TEST(JobTableTest, CountsTasksByShape) {
  JobTable jobs;
  for (int i = 0; i < 3; ++i) {
    JobView job = Job(absl::StrCat("j", i), 0, i);
    job.tasks = 2;
    job.shape.cpu_milli = i == 2 ? 500 : 1'000;
    jobs.Set(job);
  }
  jobs.Remove("j0");
  std::vector<int64_t> counts;
  jobs.VisitShapes([&](const TaskShape&, int64_t num_tasks) { counts.push_back(num_tasks); });
  EXPECT_THAT(counts, ElementsAre(2, 2));
}

TEST(JobTableTest, CopiesAreIndependentAndKeepClasses) {
  JobTable jobs;
  const JobView* a = jobs.Set(Job("a", 0, 1));
  JobTable copy = jobs;
  EXPECT_EQ(copy.ClassOf(*copy.Find("a")), jobs.ClassOf(*a));
  copy.Remove("a");
  EXPECT_EQ(jobs.num_waiting(), 1);
  EXPECT_EQ(copy.num_waiting(), 0);
}

}  // namespace
}  // namespace oneai::fabric
