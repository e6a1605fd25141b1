#include "compute_fabric/scheduler/preempt.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/compute_fabric/scheduler/state_text.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kGpu[] = "gpu";
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(100);

Amounts Gpus(int64_t devices) { return {{kGpu, devices * 1000}}; }

class FindVictimsTest : public ::testing::Test {
 protected:
  void AddNode(const std::string& name, int devices, const std::string& rack = "") {
    NodeSpec node;
    node.name = name;
    node.cpu_milli = 64'000;
    node.memory_bytes = int64_t{512} << 30;
    for (int i = 0; i < devices; ++i) {
      node.devices.push_back({absl::StrCat("d", i), kGpu, int64_t{80} << 30, true, ""});
    }
    if (!rack.empty()) node.labels["rack"] = rack;
    SetNode(state_, node);
  }

  void SetNominal(const std::vector<std::pair<std::string, int64_t>>& nominal,
                  const std::string& reserve = "") {
    std::vector<QueueSpec> specs;
    for (const auto& [path, devices] : nominal) {
      QueueSpec spec;
      spec.path = path;
      spec.nominal = Gpus(devices);
      spec.reserve = path == reserve;
      specs.push_back(spec);
    }
    ASSERT_OK(SetQueues(state_, specs));
  }

  static JobView Job(const std::string& id, const std::string& queue, int devices, int tasks = 1) {
    JobView job;
    job.id = id;
    job.queue = queue;
    job.submitted = kNow - absl::Hours(50);
    job.gang = true;
    job.tasks = job.tasks_min = tasks;
    job.shape.devices.push_back({kGpu, devices});
    for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
    return job;
  }

  // Runs the job on `node` (tasks one after another on `nodes`), for `ran` and since its last
  // checkpoint for `unsaved`.
  void Run(JobView job, const std::vector<std::string>& nodes, absl::Duration ran = absl::Hours(1),
           absl::Duration unsaved = absl::Minutes(10)) {
    for (size_t i = 0; i < job.ranks.size(); ++i) {
      const NodeIndex node = state_.cluster.Find(nodes[i % nodes.size()]);
      ASSERT_TRUE(state_.cluster.Fits(node, job.shape, &job.shape.devices[0])) << job.id;
      const ClusterState::Mark mark = state_.cluster.mark();
      const int rank = static_cast<int>(i);
      TaskPlacement task = state_.cluster.Take(node, job.shape, &job.shape.devices[0], rank, 0);
      state_.cluster.RollbackTo(mark);
      state_.cluster.TakeExactly(job.shape, task);
      job.placed.push_back(task);
    }
    for (const TaskPlacement& task : job.placed) state_.cluster.Release(job.shape, task);
    job.ranks.clear();
    job.started = kNow - ran;
    job.last_checkpoint = kNow - unsaved;
    SetJob(state_, job);
  }

  std::vector<std::string> Evicted(const JobView& job) {
    const std::string before = testing::TextOf(state_);
    plan_ = FindVictims(state_, policy_, job, gate_, kNow);
    EXPECT_EQ(testing::TextOf(state_), before);
    std::vector<std::string> ids;
    for (const Eviction& eviction : plan_.evictions) ids.push_back(eviction.job_id);
    EXPECT_EQ(plan_.tasks.empty(), ids.empty());
    return ids;
  }

  SchedulerState state_;
  Policy policy_;
  NodeGate gate_;
  PreemptionPlan plan_;
};

JobView WithPriority(JobView job, int priority) {
  job.priority = priority;
  return job;
}

TEST_F(FindVictimsTest, NobodyIsStoppedForAnEqual) {
  AddNode("a", 2);
  Run(Job("low", "retail", 2), {"a"});
  EXPECT_THAT(Evicted(Job("new", "retail", 2)), IsEmpty());
  EXPECT_THAT(Evicted(Job("other", "finance", 2)), IsEmpty());
}

TEST_F(FindVictimsTest, PriorityWithinTheQueue) {
  AddNode("a", 2);
  Run(Job("low", "retail", 2), {"a"}, absl::Seconds(1));
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 2), 1)), ElementsAre("low"));
  EXPECT_EQ(plan_.evictions[0].cause, EvictionCause::kPriority);
  EXPECT_EQ(plan_.evictions[0].for_job, "new");
  EXPECT_EQ(plan_.evictions[0].reason, "new has priority 1 in retail, low has 0");
  EXPECT_THAT(plan_.tasks, SizeIs(1));
  EXPECT_THAT(Evicted(WithPriority(Job("other", "finance", 2), 9)), IsEmpty());
  policy_.preemption = false;
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 2), 1)), IsEmpty());
}

TEST_F(FindVictimsTest, RespectsWhoIsNotPreemptibleOrAlreadyStopping) {
  AddNode("a", 2);
  JobView fixed = Job("fixed", "retail", 1);
  fixed.preemptible = false;
  Run(fixed, {"a"});
  JobView leaving = Job("leaving", "retail", 1);
  leaving.stopping = true;
  Run(leaving, {"a"});
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 1), 1)), IsEmpty());
}

TEST_F(FindVictimsTest, ReclaimsNominalAfterTheMinimumRuntime) {
  AddNode("a", 8);
  SetNominal({{"retail", 4}, {"finance", 4}});
  Run(Job("young", "finance", 4), {"a"}, absl::Minutes(9));
  Run(Job("old", "finance", 4), {"a"}, absl::Minutes(11), absl::Minutes(11));
  EXPECT_THAT(Evicted(Job("new", "retail", 4)), ElementsAre("old"));
  EXPECT_EQ(plan_.evictions[0].cause, EvictionCause::kReclaim);
  EXPECT_EQ(plan_.evictions[0].reason, "retail takes back 4 gpu that finance borrows");
  EXPECT_THAT(Evicted(Job("more", "retail", 5)), IsEmpty());
}

TEST_F(FindVictimsTest, WhoHasBeenReclaimedBeforeRunsTwiceAsLong) {
  AddNode("a", 8);
  SetNominal({{"retail", 4}, {"finance", 4}});
  JobView again = Job("again", "finance", 8);
  again.times_reclaimed = 2;
  Run(again, {"a"}, absl::Minutes(39));
  EXPECT_THAT(Evicted(Job("new", "retail", 4)), IsEmpty());
  again.ranks = {0};
  again.id = "later";
  RemoveJob(state_, "again");
  Run(again, {"a"}, absl::Minutes(40));
  EXPECT_THAT(Evicted(Job("new", "retail", 4)), ElementsAre("later"));
}

TEST_F(FindVictimsTest, AReserveIsTakenBackAtOnce) {
  AddNode("a", 8);
  SetNominal({{"frontier", 8}}, "frontier");
  Run(Job("small", "retail", 8), {"a"}, absl::Seconds(5));
  EXPECT_THAT(Evicted(Job("big", "frontier", 8)), ElementsAre("small"));
}

TEST_F(FindVictimsTest, OneLargeJobRatherThanManySmallOnes) {
  for (const char* node : {"a", "b"}) AddNode(node, 8);
  for (int i = 0; i < 8; ++i) Run(Job(absl::StrCat("small", i), "retail", 1), {"a"});
  Run(Job("large", "retail", 8), {"b"});
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 8), 1)), ElementsAre("large"));
}

TEST_F(FindVictimsTest, TheOneWithLeastToLose) {
  for (const char* node : {"a", "b", "c"}) AddNode(node, 8);
  Run(Job("unsaved", "retail", 8), {"a"}, absl::Hours(9), absl::Hours(9));
  Run(Job("saved", "retail", 8), {"b"}, absl::Hours(9), absl::Minutes(1));
  Run(Job("hour", "retail", 8), {"c"}, absl::Hours(1), absl::Hours(1));
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 8), 1)), ElementsAre("saved"));
}

TEST_F(FindVictimsTest, DropsWhoTurnsOutUnnecessary) {
  AddNode("a", 8);
  // The two cheap ones give 4 together, but 6 are needed: the large one does it alone.
  Run(Job("cheap0", "retail", 2), {"a"}, absl::Hours(1), absl::Seconds(1));
  Run(Job("cheap1", "retail", 2), {"a"}, absl::Hours(1), absl::Seconds(1));
  Run(Job("large", "retail", 4), {"a"}, absl::Hours(1), absl::Minutes(5));
  EXPECT_THAT(Evicted(WithPriority(Job("four", "retail", 4), 1)),
              UnorderedElementsAre("cheap0", "cheap1"));
  EXPECT_THAT(Evicted(WithPriority(Job("six", "retail", 6), 1)), SizeIs(2));
}

TEST_F(FindVictimsTest, FreesADomainNotScatteredDevices) {
  // Rack 0: one cheap job a node, held together by a dear one. Rack 1: dearer, but a whole rack.
  for (int r = 0; r < 2; ++r) {
    for (int n = 0; n < 2; ++n) AddNode(absl::StrCat("n", r, n), 4, absl::StrCat("rack", r));
  }
  Run(Job("cheap0", "retail", 4), {"n00"}, absl::Hours(9), absl::Seconds(1));
  Run(Job("dear0", "retail", 4), {"n01"}, absl::Hours(9), absl::Hours(9));
  Run(Job("mid0", "retail", 4), {"n10"}, absl::Hours(9), absl::Minutes(30));
  Run(Job("mid1", "retail", 4), {"n11"}, absl::Hours(9), absl::Minutes(30));
  JobView gang = WithPriority(Job("gang", "retail", 4, 2), 1);
  EXPECT_THAT(Evicted(gang), UnorderedElementsAre("cheap0", "mid0"));
  gang.topology = TopologyWish{TopologyLevel::kRack, /*required=*/true};
  EXPECT_THAT(Evicted(gang), UnorderedElementsAre("mid0", "mid1"));
  std::set<std::string> nodes;
  for (const TaskPlacement& task : plan_.tasks) nodes.insert(task.node);
  EXPECT_THAT(nodes, ElementsAre("n10", "n11"));
}

TEST_F(FindVictimsTest, AGangOverManyNodesIsPaidOnce) {
  for (int n = 0; n < 4; ++n) AddNode(absl::StrCat("n", n), 8);
  Run(Job("wide", "retail", 4, 4), {"n0", "n1", "n2", "n3"});
  for (int n = 0; n < 4; ++n) {
    Run(Job(absl::StrCat("single", n), "retail", 4), {absl::StrCat("n", n)});
  }
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 4, 4), 1)), ElementsAre("wide"));
}

TEST_F(FindVictimsTest, NeverInVain) {
  AddNode("a", 4);
  AddNode("b", 4);
  Run(Job("low0", "retail", 4), {"a"});
  Run(Job("low1", "retail", 4), {"b"});
  EXPECT_THAT(Evicted(WithPriority(Job("wide", "retail", 8), 1)), IsEmpty());
  JobView rack = WithPriority(Job("rack", "retail", 4, 2), 1);
  rack.topology = TopologyWish{TopologyLevel::kHost, /*required=*/true};
  EXPECT_THAT(Evicted(rack), IsEmpty());
  gate_ = [](const NodeState& node, const JobView&) { return node.spec.name == "b"; };
  EXPECT_THAT(Evicted(WithPriority(Job("one", "retail", 4), 1)), ElementsAre("low1"));
  EXPECT_EQ(plan_.tasks[0].node, "b");
}

TEST_F(FindVictimsTest, UsesWhatIsFreeAlready) {
  AddNode("a", 8);
  AddNode("b", 8);
  Run(Job("low0", "retail", 8), {"a"});
  Run(Job("low1", "retail", 4), {"b"});
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 8), 1)), ElementsAre("low1"));
}

TEST_F(FindVictimsTest, AnElasticGangTakesWhatFitsAfterItsMinimum) {
  AddNode("a", 8);
  Run(Job("low", "retail", 8), {"a"});
  JobView elastic = WithPriority(Job("elastic", "retail", 1, 12), 1);
  elastic.tasks_min = 2;
  EXPECT_THAT(Evicted(elastic), ElementsAre("low"));
  EXPECT_THAT(plan_.tasks, SizeIs(8));
}

TEST_F(FindVictimsTest, ReclaimsNoMoreThanWasBorrowed) {
  AddNode("a", 16);
  SetNominal({{"retail", 8}, {"finance", 6}, {"hr", 2}});
  // finance borrows 2, hr borrows 6.
  for (int i = 0; i < 4; ++i) {
    Run(Job(absl::StrCat("f", i), "finance", 2), {"a"}, absl::Hours(1), absl::Seconds(1));
    Run(Job(absl::StrCat("h", i), "hr", 2), {"a"}, absl::Hours(1), absl::Hours(1));
  }
  const std::vector<std::string> evicted = Evicted(Job("new", "retail", 8));
  EXPECT_THAT(evicted, SizeIs(4));
  int from_finance = 0;
  for (const std::string& id : evicted) from_finance += id[0] == 'f';
  EXPECT_EQ(from_finance, 1);
}

TEST_F(FindVictimsTest, PreemptsWhileBorrowing) {
  AddNode("a", 16);
  SetNominal({{"retail", 2}, {"finance", 2}});
  Run(Job("r", "retail", 2), {"a"});
  for (int i = 0; i < 7; ++i) Run(Job(absl::StrCat("f", i), "finance", 2), {"a"});
  EXPECT_THAT(Evicted(Job("new", "retail", 2)), SizeIs(1));  // 4 of 16 against 12
  for (int i = 0; i < 3; ++i) RemoveJob(state_, absl::StrCat("f", i));
  for (int i = 0; i < 3; ++i) Run(Job(absl::StrCat("r", i), "retail", 2), {"a"});
  EXPECT_THAT(Evicted(Job("more", "retail", 2)), IsEmpty());  // 8 against 8: no churn
}

TEST_F(FindVictimsTest, WhoHoldsTheQuotaIsStopped) {
  AddNode("a", 16);
  QueueSpec unit;
  unit.path = "retail";
  unit.limit = Gpus(8);
  ASSERT_OK(SetQueues(state_, {unit}));
  Run(Job("dear", "retail", 4), {"a"}, absl::Hours(9), absl::Hours(9));
  Run(Job("cheap", "retail", 4), {"a"});
  Run(Job("elsewhere", "finance", 4), {"a"});
  EXPECT_THAT(Evicted(WithPriority(Job("new", "retail", 4), 1)), ElementsAre("cheap"));
  EXPECT_THAT(Evicted(WithPriority(Job("never", "retail", 9), 1)), IsEmpty());
}

TEST_F(FindVictimsTest, SharesOfADevice) {
  AddNode("a", 1);
  JobView share = Job("s", "retail", 1);
  share.shape.devices[0].milli = 300;
  for (int i = 0; i < 3; ++i) {
    share.id = absl::StrCat("s", i);
    Run(share, {"a"}, absl::Hours(1), absl::Minutes(i));
  }
  JobView more = WithPriority(share, 1);
  more.id = "more";
  more.placed.clear();
  more.ranks = {0};
  more.shape.devices[0].milli = 400;
  EXPECT_THAT(Evicted(more), ElementsAre("s0"));
  EXPECT_THAT(Evicted(WithPriority(Job("whole", "retail", 1), 1)), SizeIs(3));
}

TEST_F(FindVictimsTest, TheAlternativeThatCostsLess) {
  AddNode("a", 1);
  NodeSpec other;
  other.name = "b";
  other.devices.push_back({"x0", "asic", 0, true, ""});
  SetNode(state_, other);
  Run(Job("dear", "retail", 1), {"a"}, absl::Hours(9), absl::Hours(9));
  JobView cheap = Job("cheap", "retail", 1);
  cheap.shape.devices[0].kind = "asic";
  Run(cheap, {"b"});
  JobView either = WithPriority(Job("either", "retail", 1), 1);
  either.shape.devices.push_back({"asic", 1});
  either.shape.devices.back().relative_throughput = 0.5;
  EXPECT_THAT(Evicted(either), ElementsAre("cheap"));
}

TEST_F(FindVictimsTest, AtMostEvictionsMax) {
  AddNode("a", 8);
  for (int i = 0; i < 8; ++i) Run(Job(absl::StrCat("s", i), "retail", 1), {"a"});
  policy_.evictions_max = 7;
  EXPECT_THAT(Evicted(WithPriority(Job("eight", "retail", 8), 1)), IsEmpty());
  EXPECT_THAT(Evicted(WithPriority(Job("seven", "retail", 7), 1)), SizeIs(7));
}

TEST_F(FindVictimsTest, ReplicasTakeOnePlaceWhenTheyCannotHaveAll) {
  AddNode("a", 4);
  JobView fixed = Job("fixed", "retail", 2);
  fixed.preemptible = false;
  Run(fixed, {"a"});
  Run(Job("low", "retail", 2), {"a"});
  JobView replicas = WithPriority(Job("replicas", "retail", 2, 3), 1);
  replicas.gang = false;
  EXPECT_THAT(Evicted(replicas), ElementsAre("low"));
  EXPECT_THAT(plan_.tasks, SizeIs(1));
}

TEST_F(FindVictimsTest, OnePassCountsItsEvictions) {
  AddNode("a", 4);
  AddNode("b", 4);
  Run(Job("low0", "retail", 4), {"a"});
  Run(Job("low1", "retail", 4), {"b"});
  policy_.evictions_max = 1;
  VictimSearch search(&state_, &policy_, kNow);
  const PreemptionPlan plan = search.Find(WithPriority(Job("one", "retail", 4), 1), gate_);
  ASSERT_THAT(plan.evictions, SizeIs(1));
  search.Carried(plan);
  EXPECT_THAT(search.Find(WithPriority(Job("two", "retail", 4), 1), gate_).evictions, IsEmpty());
}

TEST(EvictionCostTest, CountsWorkSinceTheLastCheckpoint) {
  JobView job;
  job.started = kNow - absl::Hours(2);
  job.placed.resize(2);
  for (TaskPlacement& task : job.placed) task.device = DeviceAlternative{kGpu, 4};
  EXPECT_DOUBLE_EQ(EvictionCost(job, kNow), 8 * (7200 + 120) + 600);
  job.last_checkpoint = kNow - absl::Minutes(1);
  EXPECT_DOUBLE_EQ(EvictionCost(job, kNow), 8 * (60 + 120) + 600);
  job.last_checkpoint = absl::InfinitePast();
  job.started = absl::InfiniteFuture();
  EXPECT_DOUBLE_EQ(EvictionCost(job, kNow), 8 * 120 + 600);
}

}  // namespace
}  // namespace oneai::fabric
