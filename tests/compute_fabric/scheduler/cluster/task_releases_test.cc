#include "compute_fabric/scheduler/cluster/task_releases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace oneai::fabric {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

NodeSpec Node(const std::string& name, std::vector<std::string> devices) {
  NodeSpec spec;
  spec.name = name;
  spec.cpu_milli = 8'000;
  spec.memory_bytes = 1 << 20;
  for (std::string& id : devices)
    spec.devices.push_back({.id = std::move(id), .kind = "gpu", .memory_bytes = 64});
  return spec;
}

// Two tasks, one a node, each with device "b".
JobView Gang() {
  JobView job;
  job.id = "gang";
  job.shape.cpu_milli = 1'000;
  for (const char* node : {"left", "right"}) {
    TaskPlacement task;
    task.node = node;
    task.grants.push_back({.id = "b", .milli = kWholeDevice});
    job.placed.push_back(task);
  }
  return job;
}

TEST(TaskReleasesTest, FollowsANodeWhoseDevicesChange) {
  ClusterState cluster;
  cluster.SetNode(Node("left", {"a", "b"}));
  const NodeIndex right = cluster.SetNode(Node("right", {"a", "b"}));
  const JobView job = Gang();
  TaskReleases releases;
  ASSERT_THAT(releases.Of(cluster, job), SizeIs(2));
  EXPECT_EQ(releases.Of(cluster, job)[1].node, right);
  EXPECT_EQ(releases.Of(cluster, job)[1].release.devices[0].index, 1);
  cluster.SetNode(Node("right", {"b", "a"}));
  ASSERT_THAT(releases.Of(cluster, job), SizeIs(2));
  EXPECT_EQ(releases.Of(cluster, job)[0].release.devices[0].index, 1);
  EXPECT_EQ(releases.Of(cluster, job)[1].release.devices[0].index, 0);
  cluster.SetNode(Node("right", {"a"}));
  EXPECT_THAT(releases.Of(cluster, job)[1].release.devices, IsEmpty());
}

TEST(TaskReleasesTest, ANodeThatLeftGivesNothingBackUntilItReturns) {
  ClusterState cluster;
  cluster.SetNode(Node("left", {"b"}));
  const NodeIndex right = cluster.SetNode(Node("right", {"b"}));
  const JobView job = Gang();
  TaskReleases releases;
  ASSERT_THAT(releases.Of(cluster, job), SizeIs(2));
  cluster.RemoveNode("right");
  ASSERT_THAT(releases.Of(cluster, job), SizeIs(1));
  // Another node takes its number; the task is not on that one.
  ASSERT_EQ(cluster.SetNode(Node("other", {"b"})), right);
  EXPECT_THAT(releases.Of(cluster, job), SizeIs(1));
  const NodeIndex returned = cluster.SetNode(Node("right", {"x", "b"}));
  ASSERT_THAT(releases.Of(cluster, job), SizeIs(2));
  EXPECT_EQ(releases.Of(cluster, job)[1].node, returned);
  EXPECT_EQ(releases.Of(cluster, job)[1].release.devices[0].index, 1);
}

TEST(TaskReleasesTest, CopiesOfAClusterAreToldApartOnceTheyDiffer) {
  ClusterState cluster;
  cluster.SetNode(Node("left", {"b"}));
  cluster.SetNode(Node("right", {"b"}));
  const JobView job = Gang();
  TaskReleases releases;
  ASSERT_THAT(releases.Of(cluster, job), SizeIs(2));
  ClusterState copy = cluster;
  copy.SetNode(Node("right", {"a", "b"}));
  EXPECT_EQ(releases.Of(copy, job)[1].release.devices[0].index, 1);
  EXPECT_EQ(releases.Of(cluster, job)[1].release.devices[0].index, 0);
}

}  // namespace
}  // namespace oneai::fabric
