#include "compute_fabric/scheduler/throughput.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace oneai::fabric {
namespace {

std::vector<double> Levels(const std::vector<ThroughputJob>& jobs,
                           const std::vector<double>& workers) {
  const auto shares = AllocateMaxMin(jobs, workers);
  std::vector<double> levels;
  for (size_t m = 0; m < jobs.size(); ++m) {
    levels.push_back(NormalizedThroughput(jobs[m], shares[m], workers) / jobs[m].weight);
  }
  return levels;
}

void ExpectFeasible(const std::vector<ThroughputJob>& jobs, const std::vector<double>& workers) {
  const auto shares = AllocateMaxMin(jobs, workers);
  std::vector<double> used(workers.size(), 0.0);
  for (size_t m = 0; m < jobs.size(); ++m) {
    double sum = 0;
    for (size_t j = 0; j < workers.size(); ++j) {
      EXPECT_GE(shares[m][j], -1e-9);
      sum += shares[m][j];
      used[j] += shares[m][j] * jobs[m].num_workers;
    }
    EXPECT_LE(sum, 1 + 1e-6);
  }
  for (size_t j = 0; j < workers.size(); ++j) EXPECT_LE(used[j], workers[j] + 1e-6);
}

TEST(AllocateMaxMinTest, EachGoesWhereItGainsMost) {
  // One gains tenfold on the fast kind, the other nothing: they part, and nobody shares.
  const auto shares = AllocateMaxMin({{1, 1, {1, 10}}, {1, 1, {5, 5}}}, {1, 1});
  EXPECT_NEAR(shares[0][1], 1, 1e-6);
  EXPECT_NEAR(shares[1][0], 1, 1e-6);
}

TEST(AllocateMaxMinTest, EqualJobsGetEqualShares) {
  const std::vector<ThroughputJob> jobs(4, {1, 1, {1, 3}});
  for (double level : Levels(jobs, {1, 1})) EXPECT_NEAR(level, 4.0 / 4 / 2, 1e-6);
  ExpectFeasible(jobs, {1, 1});
}

TEST(AllocateMaxMinTest, WeightsAndWidthsCount) {
  const std::vector<ThroughputJob> jobs = {{1, 1, {1}}, {2, 1, {1}}};
  const auto shares = AllocateMaxMin(jobs, {1});
  EXPECT_NEAR(shares[0][0], 1.0 / 3, 1e-6);
  EXPECT_NEAR(shares[1][0], 2.0 / 3, 1e-6);
  // A job of four devices gets as many device-seconds as one of one.
  const auto wide = AllocateMaxMin({{1, 4, {1}}, {1, 1, {1}}, {1, 1, {1}}, {1, 1, {1}}}, {4});
  EXPECT_NEAR(wide[0][0], 0.25, 1e-6);
  EXPECT_NEAR(wide[1][0], 1, 1e-6);
}

TEST(AllocateMaxMinTest, WhatOneCannotUseGoesToTheNext) {
  // The first runs on kind 0 only; the rest of the cluster is not cut down to its level.
  const std::vector<ThroughputJob> jobs = {{1, 1, {1, 0}}, {1, 1, {1, 0}}, {1, 1, {1, 1}}};
  const auto shares = AllocateMaxMin(jobs, {1, 5});
  EXPECT_NEAR(shares[0][0], 0.5, 1e-6);
  EXPECT_NEAR(shares[1][0], 0.5, 1e-6);
  EXPECT_NEAR(shares[2][1], 1, 1e-6);
}

TEST(AllocateMaxMinTest, NobodyAndNowhere) {
  EXPECT_TRUE(AllocateMaxMin({}, {1, 1}).empty());
  const auto shares = AllocateMaxMin({{1, 1, {0, 0}}, {1, 1, {1, 1}}}, {1, 0});
  EXPECT_EQ(shares[0], (std::vector<double>{0, 0}));
  EXPECT_NEAR(shares[1][0], 1, 1e-6);
}

// Every split on a grid, sorted levels compared lexicographically.
TEST(AllocateMaxMinTest, NoSplitOnAGridIsBetter) {
  std::mt19937_64 bits(11);
  std::uniform_real_distribution<double> number(0.1, 4);
  constexpr int kSteps = 12;
  for (int round = 0; round < 25; ++round) {
    const std::vector<double> workers = {1, 1};
    std::vector<ThroughputJob> jobs;
    for (int m = 0; m < 3; ++m) {
      jobs.push_back({bits() % 2 == 0 ? 1.0 : 2.0, 1, {number(bits), number(bits)}});
    }
    ExpectFeasible(jobs, workers);
    std::vector<double> ours = Levels(jobs, workers);
    std::sort(ours.begin(), ours.end());
    std::array<int, 6> x{};
    double best = 0;
    const auto visit = [&](auto&& self, size_t at) -> void {
      if (at == x.size()) {
        double least = 1e9;
        for (size_t m = 0; m < 3; ++m) {
          const std::vector<double> shares = {1.0 * x[2 * m] / kSteps, 1.0 * x[2 * m + 1] / kSteps};
          least = std::min(least, NormalizedThroughput(jobs[m], shares, workers) / jobs[m].weight);
        }
        best = std::max(best, least);
        return;
      }
      for (x[at] = 0; x[at] <= kSteps; ++x[at]) {
        int kind_sum = 0;
        for (size_t i = at % 2; i <= at; i += 2) kind_sum += x[i];
        if (kind_sum > kSteps || (at % 2 == 1 && x[at] + x[at - 1] > kSteps)) break;
        self(self, at + 1);
      }
    };
    visit(visit, 0);
    EXPECT_GE(ours.front(), best - 1e-6);
    EXPECT_LE(ours.front(), best * 1.35 + 0.1);  // the grid is coarse, but not that coarse
  }
}

TEST(AllocateMaxMinTest, ManyJobsKeepWithinTheCluster) {
  std::mt19937_64 bits(5);
  std::uniform_real_distribution<double> number(0.2, 5);
  std::vector<ThroughputJob> jobs;
  for (int m = 0; m < 60; ++m) {
    jobs.push_back({1,
                    static_cast<double>(1 << (bits() % 4)),
                    {number(bits), number(bits), bits() % 5 == 0 ? 0 : number(bits)}});
  }
  ExpectFeasible(jobs, {36, 36, 36});
  std::vector<double> levels = Levels(jobs, {36, 36, 36});
  EXPECT_GT(*std::min_element(levels.begin(), levels.end()), 108.0 / 225 * 0.8);
}

class PricesTest : public ::testing::Test {
 protected:
  void AddNodes(const std::string& kind, int num_devices) {
    NodeSpec node;
    node.name = kind;
    node.cpu_milli = 1'000'000;
    node.memory_bytes = 1 << 30;
    for (int i = 0; i < num_devices; ++i) {
      DeviceSpec device;
      device.id = std::to_string(i);
      device.kind = kind;
      device.memory_bytes = 1 << 20;
      node.devices.push_back(device);
    }
    cluster_.SetNode(node);
  }
  JobView Job(const std::string& id, int tasks, const std::map<std::string, double>& throughput) {
    JobView job;
    job.id = id;
    job.queue = "q";
    job.tasks = job.tasks_min = tasks;
    for (int rank = 0; rank < tasks; ++rank) job.ranks.push_back(rank);
    for (const auto& [kind, relative] : throughput) {
      DeviceAlternative device;
      device.kind = kind;
      device.count = 1;
      device.relative_throughput = relative;
      job.shape.devices.push_back(device);
    }
    jobs_.Set(job);
    return job;
  }
  std::string First(const JobView& job) {
    return RankAlternatives(PricesOfKinds(cluster_, jobs_), policy_, job).front()->kind;
  }

  ClusterState cluster_;
  JobTable jobs_;
  Policy policy_;
};

TEST_F(PricesTest, WithoutContentionTheFastestKindIsFree) {
  AddNodes("fast", 4);
  AddNodes("slow", 4);
  const JobView job = Job("a", 2, {{"fast", 3.0}, {"slow", 1.0}});
  EXPECT_TRUE(PricesOfKinds(cluster_, jobs_).empty());
  EXPECT_EQ(First(job), "fast");
}

TEST_F(PricesTest, WhoGainsLittleLeavesTheFastKindToThoseWhoGainMuch) {
  AddNodes("fast", 4);
  AddNodes("slow", 8);
  const JobView much = Job("much", 4, {{"fast", 10.0}, {"slow", 1.0}});
  const JobView little = Job("little", 4, {{"fast", 1.2}, {"slow", 1.0}});
  const KindPrices prices = PricesOfKinds(cluster_, jobs_);
  EXPECT_GT(prices.at("fast"), 0.16);
  EXPECT_FALSE(prices.contains("slow"));
  EXPECT_EQ(First(much), "fast");
  EXPECT_EQ(First(little), "slow");
  policy_.throughput_aware = false;
  EXPECT_EQ(First(little), "fast");
}

TEST_F(PricesTest, JobsThatHaveNoChoiceCount) {
  AddNodes("fast", 4);
  AddNodes("slow", 8);
  Job("bound", 4, {{"fast", 1.0}});
  const JobView free = Job("free", 4, {{"fast", 2.0}, {"slow", 1.0}});
  EXPECT_EQ(First(free), "slow");
}

TEST_F(PricesTest, NoChoiceNoPrices) {
  AddNodes("fast", 1);
  const JobView job = Job("a", 4, {{"fast", 1.0}});
  EXPECT_TRUE(PricesOfKinds(cluster_, jobs_).empty());
  EXPECT_EQ(First(job), "fast");
}

}  // namespace
}  // namespace oneai::fabric
