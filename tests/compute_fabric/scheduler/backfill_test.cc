#include "compute_fabric/scheduler/backfill.h"

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
constexpr char kGpu[] = "nvidia-h100-80g";

NodeSpec GpuNode(const std::string& name, int num_gpus, const std::string& rack = "r") {
  NodeSpec node{.name = name,
                .address = "127.0.0.1",
                .cpu_milli = 64'000,
                .memory_bytes = int64_t{64} << 30,
                .labels = {{"rack", rack}}};
  for (int i = 0; i < num_gpus; ++i) {
    node.devices.push_back(
        {.id = absl::StrCat("g", i), .kind = kGpu, .memory_bytes = int64_t{80} << 30});
  }
  return node;
}

JobView Gang(const std::string& id, int tasks, int gpus_each, absl::Duration limit,
             absl::Time submitted = kNow) {
  JobView job{.id = id, .queue = "q", .submitted = submitted, .gang = true};
  job.tasks = job.tasks_min = tasks;
  job.shape.cpu_milli = 1000;
  job.shape.devices = {{.kind = kGpu, .count = gpus_each}};
  job.time_limit = limit;
  for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
  return job;
}

JobView Share(const std::string& id, int milli, absl::Duration limit, absl::Time submitted = kNow) {
  JobView job = Gang(id, 1, 1, limit, submitted);
  job.shape.devices[0].milli = milli;
  return job;
}

// A state and a pass of first come, first served with backfill: the least scheduler that shows what
// a window promises.
class BackfillTest : public ::testing::Test {
 protected:
  void AddNodes(int num, int gpus) {
    for (int i = 0; i < num; ++i) SetNode(state_, GpuNode(absl::StrCat("n", i), gpus));
  }
  // Runs the job now, beside the window.
  void Run(JobView job, absl::Time now = kNow) {
    const std::string id = job.id;
    SetJob(state_, std::move(job));
    ASSERT_THAT(Try(id, nullptr, now), ::testing::Not(IsEmpty())) << id;
  }
  std::vector<TaskPlacement> Try(const std::string& id, BackfillWindow* window, absl::Time now) {
    const JobView* job = state_.jobs.Find(id);
    PlaceRequest request{.job = job,
                         .tasks_min = job->gang ? job->tasks_min : 0,
                         .tasks_max = static_cast<int>(job->ranks.size())};
    request.may_use = [&](const NodeState& node, const JobView& asking) {
      return MayUse(node.spec, asking, now, nullptr) &&
             (window == nullptr || window->Admits(node, asking));
    };
    std::vector<TaskPlacement> tasks = PlaceJob(state_, policy_, request, now);
    if (tasks.empty()) return tasks;
    state_.jobs.Place(id, tasks, now);
    state_.cluster.Keep();
    if (window != nullptr) window->Placed(*state_.jobs.Find(id), tasks);
    return tasks;
  }
  // One pass over the queue; planned starts by job. Started jobs leave `waiting`.
  std::map<std::string, PlannedStart> Pass(std::vector<std::string>& waiting, absl::Time now) {
    BackfillWindow window(&state_, &policy_, now);
    std::map<std::string, PlannedStart> planned;
    std::vector<std::string> left;
    for (const std::string& id : waiting) {
      if (!Try(id, &window, now).empty()) continue;
      left.push_back(id);
      if (window.num_reserved() < policy_.reservations_max) {
        planned[id] = window.Reserve(*state_.jobs.Find(id));
      }
    }
    waiting = left;
    return planned;
  }

  SchedulerState state_;
  Policy policy_;
};

TEST_F(BackfillTest, PlansTheStartAtTheFirstInstantWithRoom) {
  AddNodes(2, 8);
  Run(Gang("a", 1, 8, absl::Hours(1)));
  Run(Gang("b", 1, 4, absl::Hours(3)));
  SetJob(state_, Gang("big", 2, 8, absl::Hours(1)));
  SetJob(state_, Gang("small", 1, 6, absl::Hours(1)));
  BackfillWindow window(&state_, &policy_, kNow);
  const PlannedStart big = window.Reserve(*state_.jobs.Find("big"));
  EXPECT_EQ(big.start, kNow + absl::Hours(3));
  EXPECT_THAT(big.nodes, SizeIs(2));
  // From 1 h to 3 h there is a node to itself; after that all is kept for big.
  EXPECT_EQ(window.Reserve(*state_.jobs.Find("small")).start, kNow + absl::Hours(1));
  EXPECT_EQ(window.num_reserved(), 2);
}

TEST_F(BackfillTest, AdmitsWhatEndsBeforeOrFitsBeside) {
  AddNodes(1, 8);
  Run(Gang("a", 1, 4, absl::Hours(1)));
  SetJob(state_, Gang("wide", 1, 6, absl::Hours(1)));
  BackfillWindow window(&state_, &policy_, kNow);
  EXPECT_EQ(window.Reserve(*state_.jobs.Find("wide")).start, kNow + absl::Hours(1));
  const NodeState& node = state_.cluster.node(state_.cluster.Find("n0"));
  EXPECT_TRUE(window.Admits(node, Gang("short", 1, 4, absl::Hours(1))));
  EXPECT_FALSE(window.Admits(node, Gang("long", 1, 4, absl::Hours(1) + absl::Seconds(1))));
  EXPECT_TRUE(window.Admits(node, Gang("beside", 1, 2, absl::Hours(9))));
  EXPECT_FALSE(window.Admits(node, Gang("endless", 1, 3, absl::InfiniteDuration())));
  // Three tasks of one would fit now, but only two may stay.
  EXPECT_EQ(window.NumAdmitted(node, Gang("three", 3, 1, absl::Hours(9)), 3), 2);
  ASSERT_NE(window.KeptFor("n0"), nullptr);
  EXPECT_EQ(window.KeptFor("n0")->job_id, "wide");
}

TEST_F(BackfillTest, SharesAreKeptDeviceByDevice) {
  AddNodes(1, 2);
  Run(Share("x", 700, absl::Hours(1)));
  SetJob(state_, Gang("pair", 1, 2, absl::Hours(1)));
  BackfillWindow window(&state_, &policy_, kNow);
  EXPECT_EQ(window.Reserve(*state_.jobs.Find("pair")).start, kNow + absl::Hours(1));
  const NodeState& node = state_.cluster.node(state_.cluster.Find("n0"));
  EXPECT_TRUE(window.Admits(node, Share("s", 300, absl::Hours(1))));
  EXPECT_FALSE(window.Admits(node, Share("s", 300, absl::Hours(2))));

  // A share of 800 is planned after x; another may stay beside it only where both have room.
  state_ = SchedulerState();
  SetNode(state_, GpuNode("n0", 1));
  Run(Share("x", 700, absl::Hours(1)));
  SetJob(state_, Share("y", 800, absl::Hours(1)));
  BackfillWindow shares(&state_, &policy_, kNow);
  EXPECT_EQ(shares.Reserve(*state_.jobs.Find("y")).start, kNow + absl::Hours(1));
  const NodeState& only = state_.cluster.node(state_.cluster.Find("n0"));
  EXPECT_TRUE(shares.Admits(only, Share("s", 200, absl::Hours(9))));
  EXPECT_FALSE(shares.Admits(only, Share("s", 300, absl::Hours(9))));
}

TEST_F(BackfillTest, WaitsForARequiredRackAndForAHoldToEnd) {
  SetNode(state_, GpuNode("a0", 4, "a"));
  SetNode(state_, GpuNode("a1", 4, "a"));
  SetNode(state_, GpuNode("b0", 4, "b"));
  NodeSpec held = GpuNode("b1", 4, "b");
  held.holds = {{.start = kNow + absl::Hours(1),
                 .end = kNow + absl::Hours(2),
                 .reason = "maintenance: firmware"}};
  SetNode(state_, held);
  JobView a = Gang("a", 2, 4, absl::Hours(5));
  a.topology = TopologyWish{TopologyLevel::kRack, true};
  a.shape.node_selector = {{"rack", "a"}};
  Run(a);
  JobView job = Gang("j", 2, 4, absl::Hours(3));
  job.topology = TopologyWish{TopologyLevel::kRack, true};
  SetJob(state_, job);
  // Rack b is free, but the maintenance begins before three hours have passed.
  BackfillWindow window(&state_, &policy_, kNow);
  const PlannedStart planned = window.Reserve(*state_.jobs.Find("j"));
  EXPECT_EQ(planned.start, kNow + absl::Hours(2));
  EXPECT_THAT(planned.nodes, ::testing::UnorderedElementsAre("b0", "b1"));
}

TEST_F(BackfillTest, OtherKindsAreNotHeldUp) {
  AddNodes(1, 1);
  NodeSpec cpu = GpuNode("cpu", 0);
  SetNode(state_, cpu);
  Run(Gang("a", 1, 1, absl::Hours(1)));
  SetJob(state_, Gang("g", 1, 1, absl::Hours(1)));
  BackfillWindow window(&state_, &policy_, kNow);
  window.Reserve(*state_.jobs.Find("g"));
  JobView other = Gang("c", 1, 1, absl::InfiniteDuration());
  other.shape.devices.clear();
  EXPECT_TRUE(window.Admits(state_.cluster.node(state_.cluster.Find("cpu")), other));
  EXPECT_TRUE(window.Admits(state_.cluster.node(state_.cluster.Find("n0")), other));
}

TEST_F(BackfillTest, NeverStartsBehindJobsWithoutLimitYetKeepsNodesForAnOldGang) {
  AddNodes(2, 1);
  Run(Gang("endless", 1, 1, absl::InfiniteDuration()));
  SetJob(state_, Gang("pair", 2, 1, absl::Hours(1)));
  BackfillWindow young(&state_, &policy_, kNow);
  EXPECT_EQ(young.Reserve(*state_.jobs.Find("pair")).start, absl::InfiniteFuture());
  EXPECT_EQ(young.num_reserved(), 0);
  BackfillWindow old(&state_, &policy_, kNow + absl::Minutes(5));
  EXPECT_EQ(old.Reserve(*state_.jobs.Find("pair")).start, absl::InfiniteFuture());
  EXPECT_EQ(old.num_reserved(), 1);
  const std::string used = state_.jobs.Find("endless")->placed[0].node;
  const NodeState& free = state_.cluster.node(state_.cluster.Find(used == "n0" ? "n1" : "n0"));
  EXPECT_FALSE(old.Admits(free, Gang("more", 1, 1, absl::InfiniteDuration())));
  EXPECT_TRUE(old.Admits(free, Gang("timed", 1, 1, absl::Hours(30))));
}

TEST_F(BackfillTest, ALargeGangStartsBehindAStreamOfSmallJobs) {
  AddNodes(4, 8);
  policy_.reservations_max = 1;
  std::vector<std::string> waiting;
  std::multimap<absl::Time, std::string> ends;
  absl::Time started = absl::InfiniteFuture();
  const absl::Time asked = kNow + absl::Minutes(30);
  // Small jobs of an hour come faster than they leave.
  for (absl::Time now = kNow; now < kNow + absl::Hours(6) && started > now;
       now += absl::Minutes(1)) {
    while (!ends.empty() && ends.begin()->first <= now) {
      RemoveJob(state_, ends.begin()->second);
      ends.erase(ends.begin());
    }
    if (now == asked) {
      SetJob(state_, Gang("large", 4, 8, absl::Hours(1), now));
      waiting.push_back("large");
    }
    const std::string id = absl::StrCat("s", absl::ToUnixSeconds(now));
    SetJob(state_, Gang(id, 1, 1, absl::Hours(1), now));
    waiting.push_back(id);
    const std::vector<std::string> before = waiting;
    Pass(waiting, now);
    for (const std::string& job : before) {
      if (state_.jobs.Find(job)->placed.empty()) continue;
      ends.emplace(now + absl::Hours(1), job);
      if (job == "large") started = now;
    }
  }
  // All that ran when it came has ended an hour later.
  EXPECT_LE(started, asked + absl::Hours(1));
}

// Limits are exact, later arrivals go behind: no planned start may move back.
TEST_F(BackfillTest, PlannedStartsAreNeverDelayedByLaterArrivals) {
  int num_kept = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % n); };
    state_ = SchedulerState();
    policy_.reservations_max = 1;
    policy_.seed = seed;
    const int num_nodes = 2 + below(4);
    for (int i = 0; i < num_nodes; ++i) {
      NodeSpec node = GpuNode(absl::StrCat("n", i), 4, absl::StrCat("r", i % 2));
      if (below(3) == 0) {
        const absl::Time start = kNow + absl::Minutes(30 + below(300));
        node.holds = {{start, start + absl::Minutes(20), "", "maintenance: x"}};
      }
      SetNode(state_, node);
    }
    std::vector<std::string> waiting;
    std::map<std::string, absl::Time> promised;
    std::multimap<absl::Time, std::string> ends;
    absl::Time arrival = kNow;
    absl::Time now = kNow;
    for (int num = 0; num < 80 || !ends.empty();) {
      // The next arrival, end, or promised start.
      absl::Time next = num < 80 ? arrival : absl::InfiniteFuture();
      if (!ends.empty()) next = std::min(next, ends.begin()->first);
      for (const auto& [id, start] : promised) {
        if (start > now) next = std::min(next, start);
      }
      now = next;
      while (!ends.empty() && ends.begin()->first <= now) {
        RemoveJob(state_, ends.begin()->second);
        ends.erase(ends.begin());
      }
      for (; num < 80 && arrival <= now; ++num) {
        const absl::Duration limit = absl::Minutes(1 + below(90));
        JobView job = below(4) == 0 ? Share(absl::StrCat("j", num), 100 + below(900), limit, now)
                                    : Gang(absl::StrCat("j", num), 1 + below(num_nodes),
                                           1 + below(4), limit, now);
        if (below(5) == 0) {
          job.topology = TopologyWish{TopologyLevel::kRack, true};
          while (static_cast<int>(job.ranks.size()) > num_nodes / 2) job.ranks.pop_back();
          job.tasks = job.tasks_min = static_cast<int>(job.ranks.size());
        }
        if (below(5) == 0) job.spread = SpreadPolicy::kNode;
        job.sequence = num;
        waiting.push_back(job.id);
        SetJob(state_, std::move(job));
        arrival += absl::Minutes(below(12));
      }
      const std::vector<std::string> before = waiting;
      for (const auto& [id, planned] : Pass(waiting, now)) {
        const auto [it, is_new] = promised.emplace(id, planned.start);
        ASSERT_LE(planned.start, it->second) << id << " at " << now;
        it->second = planned.start;
      }
      for (const std::string& id : before) {
        const JobView& job = *state_.jobs.Find(id);
        if (job.placed.empty()) continue;
        ends.emplace(now + job.time_limit, id);
        if (promised.count(id) == 0) continue;
        ASSERT_LE(now, promised[id]) << id;
        promised.erase(id);
        ++num_kept;
      }
    }
  }
  EXPECT_GT(num_kept, 500);
}

}  // namespace
}  // namespace oneai::fabric
