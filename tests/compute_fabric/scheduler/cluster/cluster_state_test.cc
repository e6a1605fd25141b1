#include "compute_fabric/scheduler/cluster/cluster_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/compute_fabric/scheduler/random_cluster.h"
#include "tests/compute_fabric/scheduler/state_text.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using testing::RandomCluster;
using testing::TextOf;

constexpr int64_t kGiB = int64_t{1} << 30;

NodeSpec GpuNode(const std::string& name, int num_devices) {
  NodeSpec node;
  node.name = name;
  node.address = name + ".local";
  node.cpu_milli = 64'000;
  node.memory_bytes = 512 * kGiB;
  node.port_first = 7000;
  node.port_last = 7003;
  for (int i = 0; i < num_devices; ++i) {
    node.devices.push_back({.id = absl::StrCat("gpu", i),
                            .kind = "h100",
                            .memory_bytes = 80 * kGiB,
                            .nvlink_domain = i < num_devices / 2 ? "left" : "right"});
  }
  return node;
}

TaskShape ShapeOf(int32_t count, int32_t milli = kWholeDevice, int64_t memory_bytes = 0) {
  TaskShape shape;
  shape.cpu_milli = 4'000;
  shape.memory_bytes = 16 * kGiB;
  shape.devices.push_back(
      {.kind = "h100", .count = count, .milli = milli, .memory_bytes = memory_bytes});
  return shape;
}

std::vector<std::string> Ids(const TaskPlacement& task) {
  std::vector<std::string> ids;
  for (const DeviceGrant& grant : task.grants) ids.push_back(grant.id);
  return ids;
}

TEST(ClusterStateTest, TakesWholeDevicesWithinOneNvlinkDomain) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 8));
  const TaskShape one = ShapeOf(1);
  const TaskShape four = ShapeOf(4);
  EXPECT_THAT(Ids(cluster.Take(node, one, &one.devices[0], 0, 0)), ElementsAre("gpu0"));
  EXPECT_THAT(Ids(cluster.Take(node, four, &four.devices[0], 0, 0)),
              ElementsAre("gpu4", "gpu5", "gpu6", "gpu7"));
  // Three are left, all of the left domain.
  EXPECT_FALSE(cluster.Fits(node, four, &four.devices[0]));
  EXPECT_EQ(cluster.NumFit(node, one, &one.devices[0], 10), 3);
}

TEST(ClusterStateTest, TakesTheTightestDomainThatHasEnough) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 8));
  const TaskShape one = ShapeOf(1);
  const TaskShape two = ShapeOf(2);
  cluster.Take(node, one, &one.devices[0], 0, 0);
  cluster.Take(node, one, &one.devices[0], 0, 0);
  EXPECT_THAT(Ids(cluster.Take(node, two, &two.devices[0], 0, 0)), ElementsAre("gpu2", "gpu3"));
}

TEST(ClusterStateTest, SharesADeviceByMilliAndMemory) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 1));
  const TaskShape half = ShapeOf(1, 500);
  const TaskShape hungry = ShapeOf(1, 100, 60 * kGiB);
  EXPECT_EQ(cluster.NumFit(node, half, &half.devices[0], 10), 2);
  const TaskPlacement task = cluster.Take(node, half, &half.devices[0], 0, 0);
  ASSERT_EQ(task.grants.size(), 1u);
  EXPECT_EQ(task.grants[0].milli, 500);
  EXPECT_EQ(task.grants[0].memory_bytes, 80 * kGiB / 1000 * 500);
  // Half of the milli are left, but less than 60 GiB of its memory.
  EXPECT_FALSE(cluster.Fits(node, hungry, &hungry.devices[0]));
  EXPECT_TRUE(cluster.Fits(node, half, &half.devices[0]));
  cluster.Release(half, task);
  EXPECT_TRUE(cluster.Fits(node, hungry, &hungry.devices[0]));
}

TEST(ClusterStateTest, RestrictsToAnNvlinkDomain) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 8));
  const int32_t right = cluster.node(node).devices[7].domain;
  const TaskShape one = ShapeOf(1);
  EXPECT_EQ(cluster.NumFit(node, one, &one.devices[0], 100, right), 4);
  EXPECT_THAT(Ids(cluster.Take(node, one, &one.devices[0], 0, 0, {.domain = right})),
              ElementsAre("gpu4"));
}

TEST(ClusterStateTest, JoinsDevicesOfSeveralNodesByLabel) {
  ClusterState cluster;
  NodeSpec a = GpuNode("a", 2);
  NodeSpec b = GpuNode("b", 2);
  for (NodeSpec* spec : {&a, &b}) {
    spec->labels["nvlink-domain"] = "nvl72-1";
    for (DeviceSpec& device : spec->devices) device.nvlink_domain = "nvl72-1";
  }
  const NodeIndex first = cluster.SetNode(a);
  const NodeIndex second = cluster.SetNode(b);
  EXPECT_EQ(cluster.node(first).devices[0].domain, cluster.node(second).devices[1].domain);
  const NodeIndex third = cluster.SetNode(GpuNode("c", 2));
  const NodeIndex fourth = cluster.SetNode(GpuNode("d", 2));
  EXPECT_NE(cluster.node(third).devices[0].domain, cluster.node(fourth).devices[0].domain);
}

TEST(ClusterStateTest, KeepsWhatIsTakenWhenTheSpecChanges) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 2));
  const TaskShape two = ShapeOf(2);
  const TaskPlacement task = cluster.Take(node, two, &two.devices[0], 0, 0);
  NodeSpec smaller = GpuNode("a", 2);
  smaller.cpu_milli = 1'000;
  smaller.devices.pop_back();
  cluster.SetNode(smaller);
  EXPECT_EQ(cluster.node(node).cpu_milli_free, -3'000);
  cluster.SetNode(GpuNode("a", 2));
  EXPECT_EQ(cluster.node(node).devices[1].milli_free, 0);
  cluster.Release(two, task);
  EXPECT_EQ(cluster.node(node).devices[1].milli_free, kWholeDevice);
  EXPECT_EQ(TextOf(cluster.free()), TextOf(cluster.capacity()));
}

TEST(ClusterStateTest, CountsOnlyNodesInServiceAndHealthyDevices) {
  ClusterState cluster;
  NodeSpec spec = GpuNode("a", 2);
  spec.devices[0].healthy = false;
  cluster.SetNode(spec);
  EXPECT_EQ(cluster.capacity().at("h100"), 1'000);
  spec.unschedulable_reason = "cordoned: disk swap";
  const NodeIndex node = cluster.SetNode(spec);
  EXPECT_EQ(TextOf(cluster.capacity()), "");
  EXPECT_FALSE(cluster.Fits(node, ShapeOf(1), nullptr));
  EXPECT_EQ(cluster.NumFitEmpty(node, ShapeOf(1), &ShapeOf(1).devices[0]), 2);
}

TEST(ClusterStateTest, HandsOutPortsFromThePlaceTheSeedSays) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 0));
  TaskShape shape;
  shape.num_ports = 2;
  EXPECT_THAT(cluster.Take(node, shape, nullptr, 0, 3).ports, ElementsAre(7003, 7000));
  EXPECT_THAT(cluster.Take(node, shape, nullptr, 1, 3).ports, ElementsAre(7001, 7002));
  EXPECT_FALSE(cluster.Fits(node, shape, nullptr));
}

TEST(ClusterStateTest, RanksAreSteadyAndSeeded) {
  ClusterState one;
  ClusterState two;
  for (int i = 0; i < 50; ++i) one.SetNode(GpuNode(absl::StrCat("n", i), 1));
  for (int i = 49; i >= 0; --i) two.SetNode(GpuNode(absl::StrCat("n", i), 1));
  bool differs = false;
  ClusterState seeded = one;
  seeded.SetOrderSeed(7);
  for (int i = 0; i < 50; ++i) {
    const std::string name = absl::StrCat("n", i);
    EXPECT_EQ(one.node(one.Find(name)).rank, two.node(two.Find(name)).rank);
    differs = differs || one.node(one.Find(name)).rank != seeded.node(seeded.Find(name)).rank;
  }
  EXPECT_TRUE(differs);
}

TEST(ClusterStateTest, FeedsEachChangeOnceOrMore) {
  ClusterState cluster;
  const NodeIndex a = cluster.SetNode(GpuNode("a", 1));
  const NodeIndex b = cluster.SetNode(GpuNode("b", 1));
  const uint64_t version = cluster.version();
  EXPECT_TRUE(cluster.ChangedSince(version).empty());
  const ClusterState::Mark mark = cluster.mark();
  cluster.Take(b, TaskShape(), nullptr, 0, 0);
  const uint64_t later = cluster.version();
  cluster.RollbackTo(mark);
  cluster.Take(a, TaskShape(), nullptr, 0, 0);
  EXPECT_THAT(cluster.ChangedSince(version), ElementsAre(b, a));
  EXPECT_THAT(cluster.ChangedSince(later), ElementsAre(b, a));
  cluster.Keep();
  EXPECT_THAT(cluster.ChangedSince(later), ElementsAre(b, a));
}

// Thousands of random takes and releases: what a mark remembers comes back bit for bit, and sums
// are what the nodes say.
TEST(ClusterStateTest, RollbackRestoresEverything) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    RandomCluster random(seed);
    ClusterState cluster;
    for (int i = 0; i < 6; ++i) cluster.SetNode(random.Node(i));
    std::vector<std::pair<TaskShape, TaskPlacement>> held;
    std::vector<std::pair<ClusterState::Mark, std::string>> marks;
    for (int step = 0; step < 60; ++step) {
      if (random.Chance(0.1)) marks.emplace_back(cluster.mark(), TextOf(cluster));
      if (!held.empty() && marks.empty() && random.Chance(0.3)) {
        cluster.Release(held.back().first, held.back().second);
        held.pop_back();
        continue;
      }
      const TaskShape shape = random.Shape();
      const DeviceAlternative* device = shape.devices.empty() ? nullptr : &shape.devices[0];
      const NodeIndex node = static_cast<NodeIndex>(random.Int(0, 5));
      if (!cluster.Fits(node, shape, device)) continue;
      held.emplace_back(shape, cluster.Take(node, shape, device, 0, random.Int(0, 99)));
      if (random.Chance(0.1) && marks.empty() == false) {
        cluster.Release(held.back().first, held.back().second);
        held.pop_back();
      }
    }
    EXPECT_THAT(FindOverAllocation(cluster), ::testing::IsEmpty());
    while (!marks.empty()) {
      cluster.RollbackTo(marks.back().first);
      ASSERT_EQ(TextOf(cluster), marks.back().second) << "seed " << seed;
      marks.pop_back();
    }
  }
}

TEST(ClusterStateTest, CopiesAreIndependent) {
  ClusterState cluster;
  const NodeIndex node = cluster.SetNode(GpuNode("a", 2));
  ClusterState copy = cluster;
  const std::string before = TextOf(cluster);
  const TaskShape one = ShapeOf(1);
  copy.Take(node, one, &one.devices[0], 0, 0);
  EXPECT_EQ(TextOf(cluster), before);
  EXPECT_EQ(copy.free().at("h100"), 1'000);
}

}  // namespace
}  // namespace oneai::fabric
