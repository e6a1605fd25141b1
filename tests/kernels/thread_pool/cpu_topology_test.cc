#include "kernels/thread_pool/cpu_topology.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A tree of the files that Linux shows.
class CpuTopologyTest : public ::testing::Test {
 protected:
  CpuTopologyTest()
      : root_(absl::StrCat(::testing::TempDir(), "/cpu_topology_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(root_);
  }
  ~CpuTopologyTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  void WriteSiblings(int cpu, const std::string& siblings) {
    Write(absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"),
          siblings);
  }

  const std::string root_;
};

TEST_F(CpuTopologyTest, TakesOneThreadPerCoreInOrderOfNode) {
  // Two sockets of two cores with two threads, numbered as Linux likes to: siblings far apart.
  for (int cpu = 0; cpu < 8; ++cpu) {
    WriteSiblings(cpu, absl::StrCat(cpu % 4, ",", cpu % 4 + 4));
  }
  Write("/sys/devices/system/node/online", "0-1");
  Write("/sys/devices/system/node/node0/cpulist", "0,2,4,6");
  Write("/sys/devices/system/node/node1/cpulist", "1,3,5,7");
  const CpuTopology topology = ReadCpuTopologyOf({0, 1, 2, 3, 4, 5, 6, 7}, root_);
  EXPECT_EQ(topology.num_nodes, 2);
  EXPECT_THAT(topology.Cores(), ElementsAre(0, 2, 1, 3));
  EXPECT_EQ(topology.DefaultThreads(), 4);
}

TEST_F(CpuTopologyTest, CountsOnlyAllowedProcessors) {
  for (int cpu = 0; cpu < 4; ++cpu) WriteSiblings(cpu, cpu < 2 ? "0-1" : "2-3");
  // Both threads of one core and the second of another.
  const CpuTopology topology = ReadCpuTopologyOf({0, 1, 3}, root_);
  EXPECT_THAT(topology.Cores(), ElementsAre(0, 3));
  EXPECT_EQ(topology.DefaultThreads(), 2);
}

TEST_F(CpuTopologyTest, QuotaLimitsTheThreads) {
  Write("/sys/fs/cgroup/cpu.max", "150000 100000");
  EXPECT_EQ(ReadCpuTopologyOf({0, 1, 2, 3}, root_).DefaultThreads(), 2);
  Write("/sys/fs/cgroup/cpu.max", "max 100000");
  EXPECT_EQ(ReadCpuTopologyOf({0, 1, 2, 3}, root_).DefaultThreads(), 4);
  Write("/sys/fs/cgroup/cpu.max", "-5 0");
  EXPECT_EQ(ReadCpuTopologyOf({0, 1, 2, 3}, root_).DefaultThreads(), 4);
}

TEST_F(CpuTopologyTest, WithoutFilesEveryProcessorIsACore) {
  const CpuTopology topology = ReadCpuTopologyOf({2, 5}, root_);
  EXPECT_THAT(topology.Cores(), ElementsAre(2, 5));
  EXPECT_EQ(topology.num_nodes, 1);
  EXPECT_EQ(ReadCpuTopologyOf({}, root_).DefaultThreads(), 1);
}

TEST_F(CpuTopologyTest, ThisMachineHasACore) { EXPECT_GE(ReadCpuTopology().DefaultThreads(), 1); }

TEST(ParseCpuListTest, ReadsRangesAndStopsAtNonsense) {
  EXPECT_THAT(ParseCpuList("0-2,7, 9-9"), ElementsAre(0, 1, 2, 7, 9));
  EXPECT_THAT(ParseCpuList(""), IsEmpty());
  EXPECT_THAT(ParseCpuList("3,x,4"), ElementsAre(3));
  EXPECT_THAT(ParseCpuList("5-2"), IsEmpty());
  EXPECT_THAT(ParseCpuList("0-99999999"), IsEmpty());
  EXPECT_THAT(ParseCpuList("1-2-3"), IsEmpty());
}

}  // namespace
}  // namespace oneai::kernels
