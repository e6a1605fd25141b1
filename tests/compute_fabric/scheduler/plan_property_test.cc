// Thousands of passes over random fabrics with events between: what must hold after every one of
// them. ONEAI_TEST_SEED=N looks at other fabrics than the first ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "compute_fabric/scheduler/plan.h"
#include "tests/compute_fabric/scheduler/random_cluster.h"
#include "tests/compute_fabric/scheduler/state_text.h"

namespace oneai::fabric {
namespace {

using ::testing::IsEmpty;
using testing::RandomCluster;
using testing::TextOf;

std::string TextOf(const PlanResult& result) {
  std::string text;
  for (const JobPlacement& placement : result.placements) {
    absl::StrAppend(&text, placement.job_id, ": ", TextOf(placement.tasks), placement.reason, "\n");
  }
  for (const Eviction& eviction : result.evictions) {
    absl::StrAppend(&text, "evict ", eviction.job_id, " for ", eviction.for_job, "\n");
  }
  for (const Resize& resize : result.resizes) {
    absl::StrAppend(&text, "resize ", resize.job_id, " ", resize.tasks, "\n");
  }
  for (const PlannedStart& start : result.planned_starts) {
    absl::StrAppend(&text, start.job_id, " starts ", absl::FormatTime(start.start), "\n");
  }
  return text;
}

// A fabric with a life: jobs come and end, nodes come and go, evicted jobs stop after a while.
class Fabric {
 public:
  explicit Fabric(uint64_t seed) : random_(seed) {
    const std::vector<QueueSpec> queues = {
        {.path = "unit-0", .nominal = {{"nvidia-h100-80g", 8'000}, {"nvidia-a100-80g", 4'000}}},
        {.path = "unit-1", .limit = {{"nvidia-h100-80g", 6'000}, {"cpu", 40'000}}}};
    EXPECT_TRUE(SetQueues(state_, queues).ok());
    for (int i = 0; i < 8; ++i) SetNode(state_, random_.Node(i));
    policy_.minimum_runtime = absl::Minutes(5);
    policy_.head_of_line = random_.Pick<HeadOfLine>(
        {HeadOfLine::kBackfill, HeadOfLine::kBackfill, HeadOfLine::kSkip, HeadOfLine::kBlock});
  }

  void Happen() {
    now_ += absl::Minutes(random_.Int(1, 30));
    for (int64_t n = random_.Int(0, 6); n > 0; --n) SetJob(state_, random_.Job(next_job_++, now_));
    std::vector<std::string> ended;
    std::vector<std::string> stopped;
    state_.jobs.VisitAll([&](const JobView& job) {
      if (job.placed.empty()) return;
      if (job.stopping) {
        if (random_.Chance(0.6)) stopped.push_back(job.id);
      } else if (ExpectedEnd(job) <= now_ || random_.Chance(0.1)) {
        ended.push_back(job.id);
      }
    });
    for (const std::string& id : ended) RemoveJob(state_, id);
    for (const std::string& id : stopped) Requeue(id);
    if (random_.Chance(0.15)) ChangeNode();
  }

  // As the controller does when a node is cordoned, comes back, or is lost with its tasks.
  void ChangeNode() {
    const NodeIndex index = static_cast<NodeIndex>(random_.Int(0, 7));
    if (!state_.cluster.IsNode(index)) return;
    NodeSpec spec = state_.cluster.node(index).spec;
    const bool lost = random_.Chance(0.5);
    if (spec.unschedulable_reason.empty()) {
      spec.unschedulable_reason = lost ? "lost: no heartbeat" : "cordoned: test";
    } else {
      spec.unschedulable_reason.clear();
    }
    SetNode(state_, spec);
    if (!lost) return;
    std::vector<std::string> ids;
    for (const JobView* job : state_.jobs.OnNode(spec.name)) ids.push_back(job->id);
    for (const std::string& id : ids) Requeue(id);
  }

  void Requeue(const std::string& id) {
    JobView job = *state_.jobs.Find(id);
    job.placed.clear();
    job.started = absl::InfiniteFuture();
    job.stopping = false;
    job.ranks.clear();
    for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
    ++job.port_seed;
    SetJob(state_, job);
  }

  PlanResult Pass() { return Plan(state_, policy_, now_); }
  SchedulerState& state() { return state_; }
  const Policy& policy() const { return policy_; }
  absl::Time now() const { return now_; }

 private:
  RandomCluster random_;
  SchedulerState state_;
  Policy policy_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  int next_job_ = 0;
};

// What a placement promises to its job, as the job was before the pass.
void CheckPlacement(const JobView& before, const JobPlacement& placement) {
  const int least = before.gang ? before.tasks_min : 1;
  ASSERT_GE(static_cast<int>(placement.tasks.size()), least) << placement.job_id;
  ASSERT_LE(placement.tasks.size(), before.ranks.size()) << placement.job_id;
  ASSERT_TRUE(before.gates.empty());
  ASSERT_FALSE(before.stopping);
}

void CheckQuotas(const SchedulerState& state) {
  const QueueUse* limited = state.queues.FindUse("unit-1");
  if (limited == nullptr) return;
  for (const auto& [name, most] : state.queues.FindSpec("unit-1")->limit) {
    const auto use = limited->in_use.find(name);
    ASSERT_LE(use == limited->in_use.end() ? 0 : use->second, most) << name;
  }
}

uint64_t FirstSeed() {
  const char* seed = std::getenv("ONEAI_TEST_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

TEST(PlanPropertyTest, NothingIsEverGivenTwice) {
  int64_t num_placements = 0;
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 400; ++seed) {
    Fabric fabric(seed);
    for (int round = 0; round < 12; ++round) {
      fabric.Happen();
      std::map<std::string, JobView> before;
      fabric.state().jobs.VisitAll([&](const JobView& job) { before.emplace(job.id, job); });
      const PlanResult result = fabric.Pass();
      SCOPED_TRACE(absl::StrCat("seed ", seed, " round ", round));
      std::set<std::string> evicted;
      for (const Eviction& eviction : result.evictions) {
        ASSERT_TRUE(evicted.insert(eviction.job_id).second);
        ASSERT_FALSE(before.at(eviction.job_id).stopping);
        ASSERT_TRUE(before.at(eviction.job_id).preemptible);
      }
      for (const JobPlacement& placement : result.placements) {
        CheckPlacement(before.at(placement.job_id), placement);
        ASSERT_EQ(evicted.count(placement.job_id), 0u);
      }
      for (const Resize& resize : result.resizes) {
        const JobView& gang = before.at(resize.job_id);
        ASSERT_GE(resize.tasks, gang.tasks_min);
        ASSERT_LE(resize.tasks, gang.tasks);
        ASSERT_EQ(evicted.count(resize.job_id), 0u);
      }
      ASSERT_THAT(CheckInvariants(fabric.state()), IsEmpty());
      ASSERT_THAT(FindOverAllocation(fabric.state().cluster), IsEmpty());
      CheckQuotas(fabric.state());
      num_placements += static_cast<int64_t>(result.placements.size());
    }
  }
  EXPECT_GT(num_placements, 5'000);
}

TEST(PlanPropertyTest, EqualStatesGiveEqualPlans) {
  for (uint64_t seed = FirstSeed(); seed < FirstSeed() + 100; ++seed) {
    Fabric one(seed);
    Fabric two(seed);
    for (int round = 0; round < 10; ++round) {
      one.Happen();
      two.Happen();
      SchedulerState copy = one.state();
      const std::string text = TextOf(one.Pass());
      ASSERT_EQ(text, TextOf(two.Pass())) << "seed " << seed << " round " << round;
      ASSERT_EQ(text, TextOf(Plan(copy, one.policy(), one.now())))
          << "seed " << seed << " round " << round;
      ASSERT_EQ(TextOf(one.state()), TextOf(copy));
    }
  }
}

}  // namespace
}  // namespace oneai::fabric
