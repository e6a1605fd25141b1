#include "compute_fabric/devices/asic.h"

#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;

TEST(AsicTest, AMissingPluginIsNotFoundAndNamesIt) {
  EXPECT_THAT(ScanAsicPlugin("/nonexistent/plugin.so", 0),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/plugin.so")));
}

TEST(AsicTest, ALibraryThatIsNoPluginIsRefused) {
  EXPECT_THAT(ScanAsicPlugin("libc.so.6", 0),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("OneaiAsicGetApi")));
}

TEST(AsicTest, AnEmulatorIsMarkedAsOne) {
  ASSERT_OK_AND_ASSIGN(const std::vector<DeviceInfo> devices,
                       ScanAsicPlugin(ONEAI_TEST_ASIC_PLUGIN, 2));
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[1].id, "asic-1");
  EXPECT_EQ(devices[1].kind, "test-800");
  EXPECT_TRUE(devices[1].emulated);
  EXPECT_THAT(devices[1].name, HasSubstr("emulator"));
  EXPECT_EQ(devices[1].memory_bytes, 1 << 20);
}

TEST(AsicTest, ADeviceThatFailsIsShownAsUnhealthy) {
  ASSERT_OK_AND_ASSIGN(const std::vector<DeviceInfo> devices,
                       ScanAsicPlugin(ONEAI_TEST_ASIC_PLUGIN, 3));
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_FALSE(devices[2].healthy);
  EXPECT_EQ(devices[2].health_message, "overheated");
}

TEST(AsicTest, APluginThatCannotOpenSaysWhy) {
  EXPECT_THAT(ScanAsicPlugin(ONEAI_TEST_ASIC_PLUGIN, 99),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no driver")));
}

}  // namespace
}  // namespace oneai::fabric
