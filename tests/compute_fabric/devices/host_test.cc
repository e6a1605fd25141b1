#include "compute_fabric/devices/host.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

constexpr char kSapphireRapids[] =
    "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C\n"
    "flags\t\t: fpu sse2 avx2 fma avx512f avx512bw avx512_bf16 amx_bf16 amx_tile amx_int8\n\n"
    "processor\t: 1\nmodel name\t: other\n";

TEST(HostTest, KindIsTheBestMatrixUnit) {
  EXPECT_EQ(ParseCpuInfo(kSapphireRapids, "x86_64").kind, "x86-amx");
  EXPECT_EQ(ParseCpuInfo("flags : avx2 fma avx512f avx512bw", "x86_64").kind, "x86-avx512");
  EXPECT_EQ(ParseCpuInfo("flags : avx2 fma amx_tile", "x86_64").kind, "x86-avx2");
  EXPECT_EQ(ParseCpuInfo("flags : sse2 avx2", "x86_64").kind, "x86");
  EXPECT_EQ(ParseCpuInfo("", "x86_64").kind, "x86");
}

TEST(HostTest, FeatureNamesAreWholeWords) {
  EXPECT_EQ(ParseCpuInfo("flags : xavx2x fma4", "x86_64").kind, "x86");
}

TEST(HostTest, ArmKinds) {
  EXPECT_EQ(ParseCpuInfo("Features : fp asimd bf16 i8mm sve2", "aarch64").kind, "arm-bf16");
  EXPECT_EQ(ParseCpuInfo("Features : fp asimd", "aarch64").kind, "arm-neon");
  EXPECT_EQ(ParseCpuInfo("model name : Yitian 710-128\nFeatures : bf16 i8mm\n"
                         "CPU implementer : 0x41\nCPU part : 0xd49\n",
                         "aarch64")
                .kind,
            "yitian-710");
  EXPECT_EQ(ParseCpuInfo("", "riscv64").kind, "riscv64");
}

TEST(HostTest, ModelNameIsTheFirstProcessors) {
  EXPECT_EQ(ParseCpuInfo(kSapphireRapids, "x86_64").model, "Intel(R) Xeon(R) Platinum 8481C");
}

TEST(HostTest, MemTotalIsInKibibytes) {
  EXPECT_EQ(ParseMemTotal("MemTotal:       16384 kB\nMemFree: 1 kB\n"), 16384 * 1024);
  EXPECT_EQ(ParseMemTotal("MemFree: 1 kB\n"), 0);
  EXPECT_EQ(ParseMemTotal("MemTotal: many\n"), 0);
}

TEST(HostTest, ThisMachineHasCoresAndMemory) {
  EXPECT_GT(UsableCpuMilli(), 0);
  EXPECT_GT(UsableMemoryBytes(), int64_t{64} << 20);
  EXPECT_EQ(CpuDevice(ReadCpuFacts()).id, "cpu-0");
}

}  // namespace
}  // namespace oneai::fabric
