#include "compute_fabric/scheduler/elastic.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
const absl::Time kLater = kNow + absl::Minutes(5);
constexpr char kGpu[] = "gpu";

NodeSpec Node(const std::string& name, int num_gpus, const std::string& kind = kGpu) {
  NodeSpec node{.name = name, .cpu_milli = 64'000, .memory_bytes = int64_t{64} << 30};
  for (int i = 0; i < num_gpus; ++i) {
    node.devices.push_back({.id = absl::StrCat("g", i), .kind = kind, .memory_bytes = 1 << 30});
  }
  return node;
}

JobView Gang(const std::string& id, int tasks_min, int tasks, int gpus = 1,
             const std::string& queue = "q") {
  JobView job{.id = id, .queue = queue, .submitted = kNow, .gang = true};
  job.tasks_min = tasks_min;
  job.tasks = tasks;
  job.shape.cpu_milli = 1000;
  job.shape.devices = {{.kind = kGpu, .count = gpus}};
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

class ElasticTest : public ::testing::Test {
 protected:
  // Places up to `most` ranks now.
  void Run(JobView job, int most, absl::Time now = kNow) {
    const std::string id = job.id;
    SetJob(state_, std::move(job));
    const JobView* view = state_.jobs.Find(id);
    const PlaceRequest request{.job = view, .tasks_min = view->tasks_min, .tasks_max = most};
    const auto tasks = PlaceJob(state_, policy_, request, now);
    ASSERT_THAT(tasks, ::testing::Not(IsEmpty())) << id;
    state_.jobs.Place(id, tasks, now);
    state_.cluster.Keep();
  }
  std::vector<Resize> Resizes(const std::vector<std::string>& waiting, absl::Time now = kLater) {
    std::vector<const JobView*> jobs;
    for (const std::string& id : waiting) jobs.push_back(state_.jobs.Find(id));
    const Amounts free = state_.cluster.free();
    auto resizes = PlanResizes(state_, policy_, jobs, now);
    EXPECT_EQ(state_.cluster.free(), free);
    EXPECT_THAT(CheckInvariants(state_), IsEmpty());
    return resizes;
  }

  SchedulerState state_;
  Policy policy_;
};

TEST_F(ElasticTest, GrowsIntoWhatIsIdleAndNoFurther) {
  SetNode(state_, Node("a", 4));
  Run(Gang("g", 1, 3), 1);
  auto resizes = Resizes({});
  ASSERT_THAT(resizes, SizeIs(1));
  EXPECT_EQ(resizes[0].tasks, 3);
  EXPECT_EQ(resizes[0].reason, "grows into 2 idle places");
  EXPECT_THAT(Resizes({}, kLater - absl::Seconds(1)), IsEmpty()) << "within the resize interval";
}

TEST_F(ElasticTest, TheGangThatGainsMostGrowsFirst) {
  SetNode(state_, Node("a", 5));
  Run(Gang("large", 2, 4), 3);
  Run(Gang("small", 1, 4), 1);
  const auto resizes = Resizes({});
  ASSERT_THAT(resizes, SizeIs(1));
  EXPECT_EQ(resizes[0].job_id, "small");
  EXPECT_EQ(resizes[0].tasks, 2);
}

TEST_F(ElasticTest, DoesNotGrowWhereOthersWaitForTheKind) {
  SetNode(state_, Node("a", 4));
  Run(Gang("g", 1, 4), 2);
  SetJob(state_, Gang("wide", 1, 1, 8));
  EXPECT_THAT(Resizes({"wide"}), IsEmpty());
  SetNode(state_, Node("b", 1, "other"));
  JobView other = Gang("other", 2, 2);
  other.shape.devices[0].kind = "other";
  SetJob(state_, other);
  EXPECT_THAT(Resizes({"other"}), SizeIs(1));
}

TEST_F(ElasticTest, ShrinksJustEnoughForAWaitingJobAndNotBelowItsMinimum) {
  SetNode(state_, Node("a", 8));
  Run(Gang("g", 2, 5), 5);
  Run(Gang("h", 3, 3), 3);
  SetJob(state_, Gang("two", 1, 1, 2));
  auto resizes = Resizes({"two"});
  ASSERT_THAT(resizes, SizeIs(1));
  EXPECT_EQ(resizes[0].job_id, "g");
  EXPECT_EQ(resizes[0].tasks, 3);
  EXPECT_EQ(resizes[0].reason, "shrinks to let two start");
  SetJob(state_, Gang("four", 1, 1, 4));
  EXPECT_THAT(Resizes({"four"}), IsEmpty()) << "only three are above the minimum";
  // Both of these together need the three.
  SetJob(state_, Gang("one", 1, 1, 1));
  resizes = Resizes({"two", "one"});
  ASSERT_THAT(resizes, SizeIs(1));
  EXPECT_EQ(resizes[0].tasks, 2);
}

TEST_F(ElasticTest, GivesWayToTheSameOrAMoreDeservingQueueOnly) {
  ASSERT_TRUE(SetQueues(state_, {{.path = "a", .nominal = {{kGpu, 2000}}},
                                 {.path = "b", .nominal = {{kGpu, 2000}}}})
                  .ok());
  SetNode(state_, Node("n", 4));
  Run(Gang("g", 1, 4, 1, "a"), 3);
  Run(Gang("h", 1, 1, 1, "b"), 1);
  SetJob(state_, Gang("of-b", 1, 1, 1, "b"));
  EXPECT_THAT(Resizes({"of-b"}), SizeIs(1)) << "a borrows, b is within its nominal";
  JobView low = Gang("low", 1, 1, 1, "a");
  low.priority = -1;
  SetJob(state_, low);
  EXPECT_THAT(Resizes({"low"}), IsEmpty()) << "less important than the gang";
}

// Jobs come for a while, then nothing changes any more: resizing must end, within bounds, and each
// gang must stay between its minimum and maximum throughout.
TEST_F(ElasticTest, ComesToRest) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % n); };
    state_ = SchedulerState();
    for (int i = 0; i < 1 + below(4); ++i)
      SetNode(state_, Node(absl::StrCat("n", i), 4 + below(5)));
    std::vector<std::string> waiting;
    std::map<std::string, int> num_resizes;
    absl::Time now = kNow;
    int num_quiet = 0;
    for (int step = 0; step < 400 && num_quiet < 3; ++step) {
      if (step < 12) {
        const int least = 1 + below(3);
        JobView job = Gang(absl::StrCat("j", step), least, least + below(6), 1 + below(3));
        job.priority = below(3);
        waiting.push_back(job.id);
        SetJob(state_, std::move(job));
        num_resizes.clear();
      }
      // Place what fits, in order.
      std::vector<std::string> left;
      for (const std::string& id : waiting) {
        const JobView* job = state_.jobs.Find(id);
        const PlaceRequest request{.job = job,
                                   .tasks_min = job->tasks_min,
                                   .tasks_max = static_cast<int>(job->ranks.size())};
        const auto tasks = PlaceJob(state_, policy_, request, now);
        if (tasks.empty()) {
          left.push_back(id);
        } else {
          state_.jobs.Place(id, tasks, now);
          state_.cluster.Keep();
        }
      }
      waiting = left;
      const auto resizes = Resizes(waiting, now);
      num_quiet = resizes.empty() && step >= 12 ? num_quiet + 1 : 0;
      // Every gang has reached a checkpoint: it stops and comes back with what it was told, ahead
      // of those that wait, but behind the one that it made room for.
      for (const Resize& resize : resizes) {
        ++num_resizes[resize.job_id];
        const JobView old = *state_.jobs.Find(resize.job_id);
        ASSERT_GE(resize.tasks, old.tasks_min);
        ASSERT_LE(resize.tasks, old.tasks);
        JobView again = old;
        again.placed.clear();
        again.ranks.clear();
        for (int rank = 0; rank < resize.tasks; ++rank) again.ranks.push_back(rank);
        again.started = absl::InfiniteFuture();
        SetJob(state_, again);
      }
      for (const Resize& resize : resizes) {
        const JobView* job = state_.jobs.Find(resize.job_id);
        const PlaceRequest request{
            .job = job, .tasks_min = job->tasks_min, .tasks_max = resize.tasks};
        const auto tasks = PlaceJob(state_, policy_, request, now);
        ASSERT_THAT(tasks, ::testing::Not(IsEmpty()));
        state_.jobs.Place(resize.job_id, tasks, now);
        state_.cluster.Keep();
      }
      now += absl::Minutes(6);
    }
    EXPECT_EQ(num_quiet, 3);
    for (const auto& [id, num] : num_resizes) EXPECT_LE(num, 12) << id;
  }
}

}  // namespace
}  // namespace oneai::fabric
