#include "compute_fabric/devices/nvidia.h"

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

TEST(NvidiaTest, MachineWithoutDriverHasNoneAndSaysNothing) {
  const DeviceScan scan = ScanNvidia();
  for (const DeviceInfo& device : scan.devices) EXPECT_FALSE(device.emulated);
  // Without a library there is nothing to remark on either.
  EXPECT_TRUE(!scan.devices.empty() || scan.remarks.empty());
}

}  // namespace
}  // namespace oneai::fabric
