// FindVictims against the optimum by brute force, on clusters small enough to try every set of
// victims. Prints how far the greedy is from it.
#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/preempt.h"
#include "gtest/gtest.h"
#include "tests/compute_fabric/scheduler/random_cluster.h"
#include "tests/compute_fabric/scheduler/state_text.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

constexpr char kGpu[] = "gpu";
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1000);

struct Scene {
  bool equal_jobs = false;  // one device each, the same cost
  bool shares = false;
  bool topology = false;
  bool reclaim = false;  // between queues instead of by priority
};

class Game {
 public:
  Game(uint64_t seed, const Scene& scene) : scene_(scene), random_(seed) {
    const int64_t num_nodes = random_.Int(2, 4);
    for (int64_t n = 0; n < num_nodes; ++n) AddNode(n, random_.Int(2, 6));
    if (scene.reclaim) {
      std::vector<QueueSpec> specs(2);
      specs[0].path = "taker";
      specs[0].nominal[kGpu] = random_.Int(4, 8) * 1000;
      specs[1].path = "owner";
      specs[1].nominal[kGpu] = random_.Int(1, 4) * 1000;
      EXPECT_OK(SetQueues(state_, specs));
    }
    for (int j = 0; j < 40 && num_jobs_ < 10; ++j) RunOne(j);
  }

  JobView Taker() {
    JobView job;
    job.id = "taker";
    job.queue = scene_.reclaim ? "taker" : "owner";
    job.priority = 1;
    job.submitted = kNow;
    job.gang = true;
    job.tasks = job.tasks_min = static_cast<int>(random_.Int(1, 4));
    job.shape.devices.push_back({kGpu, static_cast<int32_t>(random_.Int(1, 3))});
    for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
    if (scene_.topology) {
      job.topology = TopologyWish{random_.Chance(0.5) ? TopologyLevel::kRack : TopologyLevel::kHost,
                                  /*required=*/true};
    }
    return job;
  }

  struct Optimum {
    bool found = false;
    double cost = 0;
    size_t count = 0;
  };

  // Every set, cheapest first.
  Optimum BruteForce(const JobView& taker) {
    std::vector<const JobView*> jobs;
    state_.jobs.VisitRunning([&](const JobView& job) {
      jobs.push_back(&job);
      return true;
    });
    struct Set {
      double cost;
      uint32_t mask;
    };
    std::vector<Set> sets;
    for (uint32_t mask = 1; mask < (uint32_t{1} << jobs.size()); ++mask) {
      double cost = 0;
      for (size_t i = 0; i < jobs.size(); ++i) {
        if ((mask >> i & 1) != 0) cost += EvictionCost(*jobs[i], kNow);
      }
      sets.push_back({cost, mask});
    }
    std::sort(sets.begin(), sets.end(), [](const Set& a, const Set& b) {
      return a.cost != b.cost ? a.cost < b.cost : a.mask < b.mask;
    });
    Optimum best;
    for (const Set& set : sets) {
      if (best.found && set.cost > best.cost) break;
      std::vector<const JobView*> stopped;
      for (size_t i = 0; i < jobs.size(); ++i) {
        if ((set.mask >> i & 1) != 0) stopped.push_back(jobs[i]);
      }
      if (best.found && stopped.size() >= best.count) continue;
      if (Fits(taker, stopped)) best = {true, set.cost, stopped.size()};
    }
    return best;
  }

  SchedulerState& state() { return state_; }
  const Policy& policy() const { return policy_; }

 private:
  void AddNode(int64_t number, int64_t num_devices) {
    NodeSpec node;
    node.name = absl::StrCat("n", number);
    node.cpu_milli = 64'000;
    node.labels["rack"] = absl::StrCat("r", number / 2);
    for (int64_t i = 0; i < num_devices; ++i) {
      node.devices.push_back({absl::StrCat("d", i), kGpu, int64_t{80} << 30, true, ""});
    }
    SetNode(state_, node);
  }

  void RunOne(int number) {
    JobView job;
    job.id = absl::StrCat("job", number);
    job.queue = "owner";
    job.gang = true;
    job.tasks = scene_.equal_jobs || random_.Chance(0.7) ? 1 : 2;
    job.shape.devices.push_back(
        {kGpu, static_cast<int32_t>(scene_.equal_jobs ? 1 : random_.Int(1, 4))});
    if (scene_.shares && random_.Chance(0.6)) {
      job.shape.devices[0].count = 1;
      job.shape.devices[0].milli = static_cast<int32_t>(random_.Int(2, 8)) * 100;
    }
    for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
    const ClusterState::Mark mark = state_.cluster.mark();
    const PlaceRequest request{.job = &job, .tasks_min = job.tasks, .tasks_max = job.tasks};
    const std::vector<TaskPlacement> tasks = PlaceJob(state_, policy_, request, kNow);
    if (tasks.empty()) return;
    TakeBack(state_, job, tasks, mark);
    job.placed = tasks;
    job.ranks.clear();
    job.started = kNow - absl::Hours(10);
    job.last_checkpoint =
        kNow - (scene_.equal_jobs ? absl::Minutes(5) : absl::Minutes(random_.Int(0, 300)));
    SetJob(state_, job);
    ++num_jobs_;
  }

  bool Fits(const JobView& taker, std::vector<const JobView*> stopped) {
    std::sort(stopped.begin(), stopped.end(), [](const JobView* a, const JobView* b) {
      return EvictionCost(*a, kNow) < EvictionCost(*b, kNow);
    });
    const ClusterState::Mark mark = state_.cluster.mark();
    Amounts needs;
    Add(needs, AmountsOf(taker.shape, &taker.shape.devices[0]), taker.tasks);
    bool may = true;
    std::vector<const JobView*> done;
    for (const JobView* job : stopped) {
      const Amounts held = AmountsOfTasks(job->shape, job->placed);
      may = !scene_.reclaim || state_.queues.MayReclaim(taker.queue, needs, job->queue, held);
      if (!may) break;
      for (const TaskPlacement& task : job->placed) state_.cluster.Release(job->shape, task);
      state_.queues.Charge(job->queue, held, -1);
      done.push_back(job);
    }
    bool fits = false;
    if (may) {
      const ClusterState::Mark placed = state_.cluster.mark();
      const PlaceRequest request{.job = &taker, .tasks_min = taker.tasks, .tasks_max = taker.tasks};
      const std::vector<TaskPlacement> tasks = PlaceJob(state_, policy_, request, kNow);
      fits = !tasks.empty();
      if (fits) TakeBack(state_, taker, tasks, placed);
    }
    for (const JobView* job : done) {
      state_.queues.Charge(job->queue, AmountsOfTasks(job->shape, job->placed));
    }
    state_.cluster.RollbackTo(mark);
    return fits;
  }

  const Scene scene_;
  testing::RandomCluster random_;
  SchedulerState state_;
  Policy policy_;
  int num_jobs_ = 0;
};

struct Score {
  int num_games = 0;
  int num_missed = 0;   // there was a way, none was found
  int num_optimal = 0;  // at the optimum's cost
  double ratio_sum = 0;
  double ratio_max = 0;
  int extra_max = 0;  // evictions beyond the optimum's
};

Score Compare(const Scene& scene, int num_games) {
  Score score;
  for (int seed = 0; seed < num_games; ++seed) {
    Game game(static_cast<uint64_t>(seed), scene);
    const JobView taker = game.Taker();
    const ClusterState::Mark mark = game.state().cluster.mark();
    const PlaceRequest request{.job = &taker, .tasks_min = taker.tasks, .tasks_max = taker.tasks};
    const std::vector<TaskPlacement> now = PlaceJob(game.state(), game.policy(), request, kNow);
    if (!now.empty()) {
      TakeBack(game.state(), taker, now, mark);
      continue;
    }
    const Game::Optimum optimum = game.BruteForce(taker);
    const std::string before = testing::TextOf(game.state());
    const PreemptionPlan plan = FindVictims(game.state(), game.policy(), taker, {}, kNow);
    EXPECT_EQ(testing::TextOf(game.state()), before);
    if (!optimum.found) {
      EXPECT_TRUE(plan.evictions.empty()) << "seed " << seed;
      continue;
    }
    ++score.num_games;
    if (plan.evictions.empty()) {
      ++score.num_missed;
      continue;
    }
    double cost = 0;
    for (const Eviction& eviction : plan.evictions) {
      cost += EvictionCost(*game.state().jobs.Find(eviction.job_id), kNow);
    }
    const double ratio = cost / optimum.cost;
    EXPECT_GE(ratio, 1 - 1e-9) << "seed " << seed;
    score.num_optimal += ratio < 1 + 1e-9;
    score.ratio_sum += ratio;
    score.ratio_max = std::max(score.ratio_max, ratio);
    score.extra_max = std::max(
        score.extra_max, static_cast<int>(plan.evictions.size()) - static_cast<int>(optimum.count));
  }
  const int found = score.num_games - score.num_missed;
  std::cout << score.num_games << " games, " << score.num_missed << " missed, "
            << 100.0 * score.num_optimal / found << "% optimal, cost over optimum: mean "
            << score.ratio_sum / found << ", worst " << score.ratio_max
            << "; evictions beyond it: at most " << score.extra_max << "\n";
  return score;
}

TEST(PreemptOptimumTest, EqualJobs) {
  const Score score = Compare({.equal_jobs = true}, 150);
  EXPECT_EQ(score.num_missed, 0);
  EXPECT_LE(score.extra_max, 1);
}

TEST(PreemptOptimumTest, MixedJobs) {
  const Score score = Compare({}, 150);
  EXPECT_EQ(score.num_missed, 0);
  EXPECT_LE(score.ratio_max, 2);
}

TEST(PreemptOptimumTest, SharesOfDevices) {
  const Score score = Compare({.shares = true}, 150);
  EXPECT_EQ(score.num_missed, 0);
  EXPECT_LE(score.ratio_max, 2);
}

TEST(PreemptOptimumTest, TopologyDomains) {
  const Score score = Compare({.topology = true}, 150);
  EXPECT_EQ(score.num_missed, 0);
  EXPECT_LE(score.ratio_max, 2);
}

TEST(PreemptOptimumTest, ReclaimBetweenQueues) {
  const Score score = Compare({.reclaim = true}, 150);
  EXPECT_EQ(score.num_missed, 0);
  EXPECT_LE(score.ratio_max, 2);
}

}  // namespace
}  // namespace oneai::fabric
