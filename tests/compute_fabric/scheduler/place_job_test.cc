#include "compute_fabric/scheduler/place_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <set>

#include "tests/compute_fabric/scheduler/random_cluster.h"
#include "tests/compute_fabric/scheduler/state_text.h"

namespace oneai::fabric {
namespace {

using ::testing::IsEmpty;
using testing::RandomCluster;
using ::testing::SizeIs;
using testing::TextOf;

constexpr int64_t kGiB = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

NodeSpec GpuNode(const std::string& name, int num_devices, const std::string& rack = "",
                 const std::string& kind = "h100") {
  NodeSpec node;
  node.name = name;
  node.cpu_milli = 64'000;
  node.memory_bytes = 512 * kGiB;
  if (!rack.empty()) node.labels["rack"] = rack;
  for (int i = 0; i < num_devices; ++i) {
    node.devices.push_back({.id = absl::StrCat("gpu", i), .kind = kind, .memory_bytes = 80 * kGiB});
  }
  return node;
}

JobView Gang(int tasks, int32_t count, const std::string& kind = "h100") {
  JobView job;
  job.id = "gang";
  job.queue = "unit";
  job.gang = true;
  job.tasks = tasks;
  job.tasks_min = tasks;
  job.shape.devices.push_back({.kind = kind, .count = count});
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

std::vector<TaskPlacement> PlaceAll(SchedulerState& state, const JobView& job,
                                    const Policy& policy = {}) {
  return PlaceJob(state, policy,
                  {.job = &job,
                   .tasks_min = job.gang ? job.tasks_min : 1,
                   .tasks_max = static_cast<int>(job.ranks.size())},
                  kNow);
}

std::set<std::string> NodesOf(const std::vector<TaskPlacement>& tasks) {
  std::set<std::string> nodes;
  for (const TaskPlacement& task : tasks) nodes.insert(task.node);
  return nodes;
}

TEST(PlaceJobTest, GangIsAllOrNothing) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  SetNode(state, GpuNode("b", 3));
  const std::string before = TextOf(state);
  EXPECT_THAT(PlaceAll(state, Gang(2, 4)), IsEmpty());
  EXPECT_EQ(TextOf(state), before);
  EXPECT_THAT(PlaceAll(state, Gang(7, 1)), SizeIs(7));
}

TEST(PlaceJobTest, ElasticGangTakesWhatThereIsAboveItsMinimum) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  JobView job = Gang(8, 1);
  job.tasks_min = 3;
  EXPECT_THAT(PlaceAll(state, job), SizeIs(4));
  job.tasks_min = 5;
  EXPECT_THAT(PlaceAll(state, job), IsEmpty());
}

TEST(PlaceJobTest, PacksOnTheFewestNodes) {
  SchedulerState state;
  SetNode(state, GpuNode("small", 2));
  SetNode(state, GpuNode("large", 8));
  SetNode(state, GpuNode("middle", 4));
  EXPECT_EQ(NodesOf(PlaceAll(state, Gang(8, 1))), std::set<std::string>{"large"});
  EXPECT_EQ(NodesOf(PlaceAll(state, Gang(6, 1))), (std::set<std::string>{"middle", "small"}));
}

TEST(PlaceJobTest, SpreadsOverNodesOrNotAtAll) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 4));
  SetNode(state, GpuNode("b", 4));
  JobView job = Gang(3, 1);
  job.spread = SpreadPolicy::kNode;
  EXPECT_THAT(PlaceAll(state, job), IsEmpty());
  job.spread = SpreadPolicy::kNodePreferred;
  std::vector<TaskPlacement> tasks = PlaceAll(state, job);
  EXPECT_THAT(tasks, SizeIs(3));
  EXPECT_THAT(NodesOf(tasks), SizeIs(2));
}

TEST(PlaceJobTest, ReplicasGoToNodesAndRacksThatHaveFewest) {
  SchedulerState state;
  SetNode(state, GpuNode("a1", 4, "a"));
  SetNode(state, GpuNode("a2", 4, "a"));
  SetNode(state, GpuNode("b1", 4, "b"));
  JobView job = Gang(3, 1);
  job.gang = false;
  job.spread = SpreadPolicy::kRackPreferred;
  EXPECT_EQ(NodesOf(PlaceAll(state, job)), (std::set<std::string>{"a1", "a2", "b1"}));
  // One replica runs in rack a: the next one goes to rack b.
  JobView rest = Gang(2, 1);
  rest.id = "rest";
  rest.gang = false;
  rest.spread = SpreadPolicy::kRackPreferred;
  rest.ranks = {1};
  TaskPlacement running;
  running.node = "a1";
  rest.placed = {running};
  EXPECT_EQ(NodesOf(PlaceAll(state, rest)), std::set<std::string>{"b1"});
}

TEST(PlaceJobTest, RequiredTopologyIsOneDomain) {
  SchedulerState state;
  for (const char* name : {"a1", "a2"}) SetNode(state, GpuNode(name, 4, "a"));
  for (const char* name : {"b1", "b2", "b3"}) SetNode(state, GpuNode(name, 4, "b"));
  JobView job = Gang(2, 4);
  job.topology = TopologyWish{TopologyLevel::kRack, true};
  // Rack a has room for just this: least is left of it.
  EXPECT_EQ(NodesOf(PlaceAll(state, job)), (std::set<std::string>{"a1", "a2"}));
  job.topology->level = TopologyLevel::kHost;
  EXPECT_THAT(PlaceAll(state, job), IsEmpty());
  JobView three = Gang(4, 4);
  three.topology = TopologyWish{TopologyLevel::kRack, true};
  EXPECT_THAT(PlaceAll(state, three), IsEmpty());
  three.topology->required = false;
  SetNode(state, GpuNode("c1", 4, "c"));
  EXPECT_THAT(NodesOf(PlaceAll(state, three)), SizeIs(4));
}

TEST(PlaceJobTest, RequiredNvlinkDomainMayBePartOfAHostOrSpanHosts) {
  SchedulerState state;
  NodeSpec halves = GpuNode("halves", 8);
  for (int i = 0; i < 8; ++i) halves.devices[i].nvlink_domain = i < 4 ? "left" : "right";
  SetNode(state, halves);
  JobView job = Gang(3, 2);
  job.topology = TopologyWish{TopologyLevel::kNvlink, true};
  EXPECT_THAT(PlaceAll(state, job), IsEmpty());
  for (const char* name : {"n1", "n2"}) {
    NodeSpec node = GpuNode(name, 4);
    node.labels["nvlink-domain"] = "nvl-1";
    SetNode(state, node);
  }
  EXPECT_EQ(NodesOf(PlaceAll(state, job)), (std::set<std::string>{"n1", "n2"}));
}

TEST(PlaceJobTest, OneKindForAllRanksWhereOneHasRoom) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 2, "", "h100"));
  SetNode(state, GpuNode("b", 4, "", "a100"));
  JobView job = Gang(4, 1);
  job.shape.devices.push_back({.kind = "a100", .count = 1, .relative_throughput = 0.5});
  for (const TaskPlacement& task : PlaceAll(state, job)) EXPECT_EQ(task.device->kind, "a100");
  JobView larger = Gang(2, 1);
  larger.shape = job.shape;
  for (const TaskPlacement& task : PlaceAll(state, larger)) EXPECT_EQ(task.device->kind, "h100");
}

TEST(PlaceJobTest, MixesKindsWhenNoneHasRoomForAll) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 2, "", "h100"));
  SetNode(state, GpuNode("b", 2, "", "a100"));
  JobView job = Gang(4, 1);
  job.shape.devices.push_back({.kind = "a100", .count = 1, .relative_throughput = 0.5});
  EXPECT_THAT(PlaceAll(state, job), SizeIs(4));
}

TEST(PlaceJobTest, QuotaBoundsWhatIsTaken) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 8));
  ASSERT_TRUE(SetQueues(state, {{.path = "unit", .limit = {{"h100", 3'000}}}}).ok());
  JobView job = Gang(8, 1);
  Policy policy;
  EXPECT_EQ(TryPlaceJob(state, policy, {.job = &job, .tasks_min = 8, .tasks_max = 8}, kNow).blocker,
            PlaceOutcome::Blocker::kQuota);
  job.tasks_min = 2;
  const ClusterState::Mark mark = state.cluster.mark();
  const std::string before = TextOf(state);
  const std::vector<TaskPlacement> tasks = PlaceAll(state, job);
  EXPECT_THAT(tasks, SizeIs(3));
  EXPECT_EQ(state.queues.FindUse("unit")->in_use.at("h100"), 3'000);
  TakeBack(state, job, tasks, mark);
  EXPECT_EQ(TextOf(state.cluster), before.substr(0, TextOf(state.cluster).size()));
}

TEST(PlaceJobTest, TellsAGateFromAFullCluster) {
  SchedulerState state;
  SetNode(state, GpuNode("a", 2));
  const JobView job = Gang(2, 1);
  PlaceRequest request{.job = &job, .tasks_min = 2, .tasks_max = 2};
  request.may_use = [](const NodeState&, const JobView&) { return false; };
  EXPECT_EQ(TryPlaceJob(state, {}, request, kNow).blocker, PlaceOutcome::Blocker::kGate);
  const JobView larger = Gang(3, 1);
  EXPECT_EQ(TryPlaceJob(state, {}, {.job = &larger, .tasks_min = 3, .tasks_max = 3}, kNow).blocker,
            PlaceOutcome::Blocker::kNoRoom);
}

// The index's first candidate is the best that a walk over all nodes finds, after any history.
TEST(PlaceJobTest, IndexChoiceEqualsBruteForce) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    RandomCluster random(seed);
    SchedulerState state;
    for (int i = 0; i < 12; ++i) SetNode(state, random.Node(i));
    for (int i = 0; i < 8; ++i) SetJob(state, random.Job(i, kNow));
    Policy policy;
    policy.score = seed % 2 == 0 ? ScorePolicy::kFgd : ScorePolicy::kOneai;
    state.candidates.Follow(state.jobs, policy);
    std::vector<TaskShape> shapes;
    for (int i = 0; i < 4; ++i) shapes.push_back(random.Shape());
    for (int step = 0; step < 60; ++step) {
      if (random.Chance(0.05)) SetNode(state, random.Node(static_cast<int>(random.Int(0, 14))));
      if (random.Chance(0.03)) RemoveNode(state, absl::StrCat("node-", random.Int(0, 14)));
      const TaskShape& shape = random.Pick(shapes);
      const DeviceAlternative* device = shape.devices.empty() ? nullptr : &shape.devices[0];
      Candidate best;
      int64_t best_rank = 0;
      int64_t num_nodes = 0;
      for (NodeIndex i = 0; i < state.cluster.num_indexes(); ++i) {
        if (!state.cluster.Fits(i, shape, device)) continue;
        ++num_nodes;
        const NodeScore score =
            state.candidates.scorer().Score(state.cluster.node(i), shape, device);
        const int64_t rank = state.cluster.node(i).rank;
        if (best.node != kNoNode &&
            (score.score < best.score || (score.score == best.score && rank > best_rank))) {
          continue;
        }
        best = {i, 0, score.score, score.device};
        best_rank = rank;
      }
      Candidate first;
      const ShapeCandidates& candidates = state.candidates.Of(state.cluster, shape, device);
      candidates.VisitBestFirst([&](const Candidate& candidate) {
        first = candidate;
        return false;
      });
      ASSERT_EQ(candidates.num_nodes(), num_nodes) << "seed " << seed << " step " << step;
      ASSERT_EQ(first.node, best.node) << "seed " << seed << " step " << step;
      if (first.node == kNoNode) continue;
      ASSERT_EQ(first.score, best.score);
      ASSERT_EQ(first.device, best.device);
      const ClusterState::Mark mark = state.cluster.mark();
      state.cluster.Take(first.node, shape, device, 0, 0, {kAnyDomain, first.device});
      if (random.Chance(0.3)) state.cluster.RollbackTo(mark);
    }
  }
}

std::set<int32_t> Domains(const SchedulerState& state, const std::vector<TaskPlacement>& tasks,
                          TopologyLevel level) {
  std::set<int32_t> domains;
  for (const TaskPlacement& task : tasks) {
    const NodeState& node = state.cluster.node(state.cluster.Find(task.node));
    if (level != TopologyLevel::kNvlink || !task.device) {
      const TopologyLevel of = level == TopologyLevel::kNvlink ? TopologyLevel::kHost : level;
      domains.insert(node.domain[static_cast<int>(of)]);
      continue;
    }
    for (const DeviceGrant& grant : task.grants) {
      for (size_t i = 0; i < node.devices.size(); ++i) {
        if (node.spec.devices[i].id == grant.id) domains.insert(node.devices[i].domain);
      }
    }
  }
  return domains;
}

// Random jobs on random clusters: whatever is placed keeps every promise, whatever is not placed
// leaves no trace.
TEST(PlaceJobTest, KeepsItsPromisesOnRandomClusters) {
  int num_placed = 0;
  for (uint64_t seed = 1; seed <= 1'000; ++seed) {
    RandomCluster random(seed);
    SchedulerState state;
    for (int i = 0; i < 8; ++i) SetNode(state, random.Node(i));
    const int num_broken = static_cast<int>(FindOverAllocation(state.cluster).size());
    for (int i = 0; i < 12; ++i) {
      const JobView job = random.Job(i, kNow);
      const std::string before = TextOf(state);
      const int least = job.gang ? job.tasks_min : 1;
      const std::vector<TaskPlacement> tasks = PlaceAll(state, job);
      if (tasks.empty()) {
        ASSERT_EQ(TextOf(state), before) << "seed " << seed << " job " << i;
        continue;
      }
      ++num_placed;
      ASSERT_GE(static_cast<int>(tasks.size()), least) << "seed " << seed << " job " << i;
      for (size_t t = 0; t < tasks.size(); ++t) ASSERT_EQ(tasks[t].rank, static_cast<int>(t));
      if (job.topology && job.topology->required) {
        ASSERT_THAT(Domains(state, tasks, job.topology->level), SizeIs(1))
            << "seed " << seed << " job " << i;
      }
      if (job.spread == SpreadPolicy::kNode) {
        ASSERT_THAT(NodesOf(tasks), SizeIs(tasks.size())) << "seed " << seed << " job " << i;
      }
      for (const TaskPlacement& task : tasks) {
        ASSERT_EQ(task.device.has_value(), !job.shape.devices.empty());
        ASSERT_THAT(task.grants, SizeIs(task.device ? task.device->count : 0));
        ASSERT_THAT(task.ports, SizeIs(job.shape.num_ports));
      }
      ASSERT_EQ(static_cast<int>(FindOverAllocation(state.cluster).size()), num_broken)
          << "seed " << seed << " job " << i;
    }
  }
  EXPECT_GT(num_placed, 2'000);
}

}  // namespace
}  // namespace oneai::fabric
