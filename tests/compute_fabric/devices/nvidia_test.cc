#include "compute_fabric/devices/nvidia.h"

#include <cstdlib>

#include "compute_fabric/devices/nvidia_health.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(NvidiaTest, KindFromNameAndMemory) {
  EXPECT_EQ(NvidiaKind("NVIDIA H100 80GB HBM3", 81'559 * kMiB), "nvidia-h100-80g");
  EXPECT_EQ(NvidiaKind("NVIDIA A100-SXM4-40GB", 40'536 * kMiB), "nvidia-a100-40g");
  EXPECT_EQ(NvidiaKind("NVIDIA H200", 143'771 * kMiB), "nvidia-h200-141g");
  EXPECT_EQ(NvidiaKind("NVIDIA GeForce RTX 4090", 24'564 * kMiB), "nvidia-rtx-4090-24g");
  EXPECT_EQ(NvidiaKind("Tesla T4", 15'360 * kMiB), "nvidia-t4-15g");
  EXPECT_EQ(NvidiaKind("", 0), "nvidia-unknown-0g");
}

TEST(NvidiaTest, ListsGpusAndShowsLostOnesAsUnhealthy) {
  const DeviceScan scan = ScanNvidia(ONEAI_TEST_NVML);
  ASSERT_EQ(scan.devices.size(), 2u);
  EXPECT_EQ(scan.devices[0].id, "gpu-0");
  EXPECT_EQ(scan.devices[0].kind, "nvidia-h100-80g");
  EXPECT_EQ(scan.devices[0].uuid, "GPU-1234");
  EXPECT_EQ(scan.devices[0].device_node, "/dev/nvidia3");
  EXPECT_EQ(scan.devices[0].memory_bytes, int64_t{81'559} << 20);
  EXPECT_TRUE(scan.devices[0].healthy);
  EXPECT_FALSE(scan.devices[0].emulated);
  EXPECT_FALSE(scan.devices[1].healthy);
}

TEST(NvidiaTest, AMachineWithoutDriverHasNoneAndSaysNothing) {
  const DeviceScan scan = ScanNvidia("libno-such-nvml.so.1");
  EXPECT_TRUE(scan.devices.empty());
  EXPECT_TRUE(scan.remarks.empty());
}

TEST(NvidiaTest, ALibraryThatIsNotNvmlIsRemarkedOn) {
  const DeviceScan scan = ScanNvidia("libc.so.6");
  EXPECT_TRUE(scan.devices.empty());
  EXPECT_EQ(scan.remarks.size(), 1u);
}

TEST(NvidiaHealthTest, OnlyTheHardwaresXidsAreFaults) {
  EXPECT_EQ(DescribeXidFault(79), "Xid 79: GPU has fallen off the bus");
  EXPECT_EQ(DescribeXidFault(31), "") << "an application's page fault";
  EXPECT_EQ(DescribeXidFault(13), "");
}

TEST(NvidiaHealthTest, AFaultStaysUntilTheAgentStartsAgain) {
  const std::unique_ptr<NvidiaHealth> health = NvidiaHealth::Open(ONEAI_TEST_NVML);
  ASSERT_NE(health, nullptr);
  EXPECT_EQ(health->Poll().count("gpu-0"), 0u);
  EXPECT_EQ(health->Poll().count("gpu-1"), 1u) << "lost before we looked";
  setenv("ONEAI_TEST_XID", "31", 1);
  EXPECT_EQ(health->Poll().count("gpu-0"), 0u);
  setenv("ONEAI_TEST_XID", "79", 1);
  EXPECT_EQ(health->Poll().at("gpu-0"), "Xid 79: GPU has fallen off the bus");
  EXPECT_EQ(health->Poll().at("gpu-0"), "Xid 79: GPU has fallen off the bus");
  EXPECT_EQ(NvidiaHealth::Open("libno-such-nvml.so.1"), nullptr);
}

}  // namespace
}  // namespace oneai::fabric
