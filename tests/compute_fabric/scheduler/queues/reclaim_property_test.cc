// Reclaim ends: random trees, jobs, arrivals and departures, and queues that take from each other
// in any order, with any choice of victims that MayReclaim allows. Between arrivals and departures
// the evictions must come to an end by themselves. See reclaim.h for the argument.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/queues/reclaim.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

struct TestJob {
  std::string queue;
  std::string kind;
  int64_t devices = 0;
  int64_t cpu = 0;
  int node = -1;  // -1: waits
  bool gone = false;
  absl::Duration ran = absl::ZeroDuration();
  int times_reclaimed = 0;

  Amounts amounts() const { return {{kind, devices * 1000}, {kCpu, cpu * 1000}}; }
};

struct World {
  int num_nodes = 1;
  int num_kinds = 1;
  int depth = 1;
  bool divides_cpu = false;
  bool guarded = false;
};

// Devices of one kind on each node; a job lives on one node.
class ReclaimGame {
 public:
  ReclaimGame(uint64_t seed, const World& world) : world_(world), random_(seed) {
    const int64_t per_node = Int(4, 16);
    for (int n = 0; n < world.num_nodes; ++n) {
      kind_of_.push_back(absl::StrCat("kind", n % world.num_kinds));
      free_.push_back(per_node);
      capacity_[kind_of_.back()] += per_node * 1000;
    }
    capacity_[kCpu] = world.num_nodes * per_node * 4000;
    tree_.SetCapacity(capacity_);
    std::vector<QueueSpec> specs;
    Grow("", 0, capacity_, specs);
    EXPECT_OK(tree_.SetSpecs(specs));
    queues_.push_back("guest/one");
    queues_.push_back("guest/two");
  }

  int64_t Int(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }

  void Arrive() {
    TestJob job;
    job.queue = queues_[Int(0, static_cast<int64_t>(queues_.size()) - 1)];
    job.kind = absl::StrCat("kind", Int(0, world_.num_kinds - 1));
    job.devices = Int(0, 2) == 0 ? Int(4, 8) : Int(1, 3);
    job.cpu = Int(0, 8);
    jobs_.push_back(job);
  }

  void Depart() {
    std::vector<size_t> running;
    for (size_t j = 0; j < jobs_.size(); ++j) {
      if (jobs_[j].node >= 0) running.push_back(j);
    }
    if (running.empty()) return;
    TestJob& job = jobs_[running[Int(0, static_cast<int64_t>(running.size()) - 1)]];
    Stop(job);
    job.gone = true;
  }

  // Starts and reclaims until nobody can do either. Returns the evictions, -1: too many.
  int64_t Settle(int64_t evictions_max) {
    int64_t evictions = 0;
    for (bool progress = true; progress;) {
      progress = false;
      std::vector<size_t> order(jobs_.size());
      for (size_t j = 0; j < order.size(); ++j) order[j] = j;
      std::shuffle(order.begin(), order.end(), random_);
      for (const size_t j : order) {
        if (jobs_[j].node >= 0 || jobs_[j].gone) continue;
        if (StartInFreeRoom(jobs_[j])) {
          progress = true;
        } else if (const int64_t evicted = Reclaim(jobs_[j]); evicted > 0) {
          progress = true;
          evictions += evicted;
          if (evictions > evictions_max) return -1;
        }
      }
    }
    return evictions;
  }

  void Pass(absl::Duration time) {
    for (TestJob& job : jobs_) {
      if (job.node >= 0) job.ran += time;
    }
  }

  const std::vector<TestJob>& jobs() const { return jobs_; }
  static constexpr absl::Duration kMinimumRuntime = absl::Minutes(10);

 private:
  // Children share the parent's nominal, some of it left over.
  void Grow(const std::string& path, int depth, const Amounts& nominal,
            std::vector<QueueSpec>& specs) {
    const int64_t num_children = Int(2, 3);
    for (int64_t c = 0; c < num_children; ++c) {
      const std::string child = path.empty() ? absl::StrCat("u", c) : absl::StrCat(path, "/p", c);
      Amounts share;
      for (const auto& [resource, amount] : nominal) {
        if (resource == kCpu && !world_.divides_cpu) continue;
        share[resource] = Int(0, amount / num_children / 1000) * 1000;
      }
      if (Int(0, 4) > 0) {
        QueueSpec spec;
        spec.path = child;
        spec.nominal = share;
        spec.weight = static_cast<double>(Int(1, 4));
        spec.reserve = Int(0, 5) == 0;
        specs.push_back(spec);
      } else {
        share.clear();
      }
      queues_.push_back(child);
      if (depth + 1 < world_.depth && !share.empty()) Grow(child, depth + 1, share, specs);
    }
  }

  void Start(TestJob& job, int node) {
    job.node = node;
    job.ran = absl::ZeroDuration();
    free_[node] -= job.devices;
    tree_.Charge(job.queue, job.amounts());
  }
  void Stop(TestJob& job) {
    free_[job.node] += job.devices;
    job.node = -1;
    tree_.Charge(job.queue, job.amounts(), -1);
  }

  bool StartInFreeRoom(TestJob& job) {
    for (size_t n = 0; n < free_.size(); ++n) {
      if (kind_of_[n] != job.kind || free_[n] < job.devices) continue;
      if (!tree_.Admit(job.queue, job.amounts()).admitted) return false;
      Start(job, static_cast<int>(n));
      return true;
    }
    return false;
  }

  bool MayTake(const TestJob& taker, const TestJob& owner) const {
    if (world_.guarded && owner.ran < ReclaimGuard(kMinimumRuntime, owner.times_reclaimed)) {
      return false;
    }
    return tree_.MayReclaim(taker.queue, taker.amounts(), owner.queue, owner.amounts());
  }

  int64_t Reclaim(TestJob& taker) {
    std::vector<int> nodes(free_.size());
    for (size_t n = 0; n < nodes.size(); ++n) nodes[n] = static_cast<int>(n);
    std::shuffle(nodes.begin(), nodes.end(), random_);
    for (const int node : nodes) {
      if (kind_of_[node] != taker.kind) continue;
      if (const int64_t evicted = ReclaimOn(taker, node); evicted > 0) return evicted;
    }
    return 0;
  }

  int64_t ReclaimOn(TestJob& taker, int node) {
    std::vector<TestJob*> order;
    for (TestJob& job : jobs_) {
      if (job.node == node) order.push_back(&job);
    }
    std::shuffle(order.begin(), order.end(), random_);
    std::vector<TestJob*> victims;
    for (TestJob* owner : order) {
      if (free_[node] >= taker.devices) break;
      if (!MayTake(taker, *owner)) continue;
      Stop(*owner);
      victims.push_back(owner);
    }
    const auto run_on = [&](TestJob* job) {
      const absl::Duration ran = job->ran;
      Start(*job, node);
      job->ran = ran;
    };
    const bool fits =
        free_[node] >= taker.devices && tree_.Admit(taker.queue, taker.amounts()).admitted;
    std::vector<TestJob*> needed;
    for (TestJob* victim : victims) {
      if (!fits || free_[node] - victim->devices >= taker.devices) {
        run_on(victim);
      } else {
        needed.push_back(victim);
      }
    }
    if (!fits || needed.empty()) return 0;
    for (TestJob* victim : needed) ++victim->times_reclaimed;
    Start(taker, node);
    return static_cast<int64_t>(needed.size());
  }

  const World world_;
  std::mt19937_64 random_;
  std::vector<std::string> kind_of_;  // by node
  std::vector<int64_t> free_;
  Amounts capacity_;
  QueueTree tree_;
  std::vector<std::string> queues_;
  std::vector<TestJob> jobs_;
};

// Plays many games; returns the most evictions per job in one settling.
double Play(const World& world, int num_games) {
  double worst = 0;
  for (int seed = 0; seed < num_games; ++seed) {
    ReclaimGame game(static_cast<uint64_t>(seed), world);
    for (int round = 0; round < 6; ++round) {
      for (int i = 0; i < 12; ++i) game.Arrive();
      if (round > 1) {
        for (int i = 0; i < 5; ++i) game.Depart();
      }
      const auto num_jobs = static_cast<double>(game.jobs().size());
      const int64_t evictions = game.Settle(10'000);
      EXPECT_GE(evictions, 0) << "seed " << seed << ", round " << round << ": it goes on and on";
      if (evictions < 0) return -1;
      worst = std::max(worst, static_cast<double>(evictions) / num_jobs);
    }
  }
  std::cout << "most evictions per job between two arrivals: " << worst << "\n";
  return worst;
}

TEST(ReclaimEndsTest, SiblingsAndOneKind) { EXPECT_LE(Play({.num_nodes = 1}, 400), 4); }

TEST(ReclaimEndsTest, SiblingsOnManyNodes) { EXPECT_LE(Play({.num_nodes = 5}, 300), 4); }

TEST(ReclaimEndsTest, SeveralKindsAndDividedCores) {
  EXPECT_LE(Play({.num_nodes = 6, .num_kinds = 2, .divides_cpu = true}, 300), 4);
}

TEST(ReclaimEndsTest, TreesOfThreeLevels) {
  EXPECT_LE(Play({.num_nodes = 6, .num_kinds = 2, .depth = 3, .divides_cpu = true}, 300), 4);
}

// Whatever the queues do, the guard bounds how often one job is hit.
TEST(ReclaimEndsTest, TheGuardBoundsEachJob) {
  const World world = {
      .num_nodes = 6, .num_kinds = 2, .depth = 3, .divides_cpu = true, .guarded = true};
  const absl::Duration minute = absl::Minutes(1);
  for (int seed = 0; seed < 12; ++seed) {
    ReclaimGame game(static_cast<uint64_t>(seed), world);
    constexpr int kMinutes = 600;
    for (int t = 0; t < kMinutes; ++t) {
      if (game.Int(0, 4) == 0) game.Arrive();
      if (game.Int(0, 9) == 0) game.Depart();
      ASSERT_GE(game.Settle(10'000), 0);
      game.Pass(minute);
    }
    const double bound =
        std::log2(1 + kMinutes * absl::FDivDuration(minute, ReclaimGame::kMinimumRuntime)) + 1;
    for (const TestJob& job : game.jobs()) EXPECT_LE(job.times_reclaimed, bound);
  }
}

}  // namespace
}  // namespace oneai::fabric
