// The cgroup code against file trees that look like the kernel's.
#include "compute_fabric/node/cgroups.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CgroupsTest : public ::testing::Test {
 protected:
  CgroupsTest()
      : root_(fs::path(::testing::TempDir()) /
              absl::StrCat("cgroups.", getpid(), ".",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(root_);
    system_.mount = (root_ / "fs").string();
    system_.self = (root_ / "self").string();
    system_.can_join = [](const std::string&) { return true; };
  }
  ~CgroupsTest() override { fs::remove_all(root_); }

  // A group as the kernel makes it: its files come with the folder.
  static void MakeGroup(const fs::path& folder, const std::vector<std::string>& files) {
    fs::create_directories(folder);
    for (const std::string& file : files) std::ofstream(folder / file) << "";
  }
  void MakeV2(const std::string& own) {
    files_ = {
        "cgroup.procs", "cgroup.subtree_control", "memory.max", "memory.swap.max", "cpu.weight",
        "cpu.max",      "memory.oom.group",       "pids.max"};
    std::ofstream(system_.self) << "0::" << own << "\n";
    MakeGroup(system_.mount, {"cgroup.controllers"});
    MakeGroup(system_.mount + own, files_);
    system_.make_folder = [this](const std::string& folder) {
      MakeGroup(folder, files_);
      return true;
    };
  }
  void MakeV1() {
    std::ofstream(system_.self) << "4:memory:/\n3:cpu,cpuacct:/\n2:pids:/\n";
    files_ = {"cgroup.procs", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
              "cpu.shares",   "cpu.cfs_period_us",     "cpu.cfs_quota_us",
              "pids.max"};
    for (const char* controller : {"memory", "cpu", "pids"}) {
      fs::create_directories(fs::path(system_.mount) / controller);
    }
    system_.make_folder = [this](const std::string& folder) {
      MakeGroup(folder, files_);
      return true;
    };
  }
  static std::string Read(const std::string& path) { return ReadFile(path).value_or("<absent>"); }

  const fs::path root_;
  CgroupSystem system_;
  std::vector<std::string> files_;
};

TEST_F(CgroupsTest, V2SetsMemoryCpuAndProcesses) {
  MakeV2("/system.slice/oneai.service");
  const CgroupTree tree = CgroupTree::Detect("n1", system_);
  EXPECT_THAT(tree.enforced(), ElementsAre("cgroup-memory", "cgroup-cpu-weight", "cgroup-pids"));
  EXPECT_TRUE(tree.not_enforced().empty());
  std::vector<std::string> problems;
  const std::vector<std::string> folders = tree.Create(
      "job-a.0.1",
      {.memory_bytes = 1 << 20, .cpu_milli = 2500, .num_processes_max = 7, .cpu_hard = true},
      problems);
  ASSERT_THAT(folders,
              ElementsAre(system_.mount + "/system.slice/oneai.service/oneai-n1/job-a.0.1"));
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(Read(folders[0] + "/memory.max"), "1048576");
  EXPECT_EQ(Read(folders[0] + "/memory.swap.max"), "0");
  EXPECT_EQ(Read(folders[0] + "/memory.oom.group"), "1");
  EXPECT_EQ(Read(folders[0] + "/cpu.weight"), "250");
  EXPECT_EQ(Read(folders[0] + "/cpu.max"), "250000 100000");
  EXPECT_EQ(Read(folders[0] + "/pids.max"), "7");
}

TEST_F(CgroupsTest, V2WithoutDelegationSaysSo) {
  MakeV2("/user.slice");
  fs::remove(system_.mount + "/user.slice/cgroup.subtree_control");
  const CgroupTree tree = CgroupTree::Detect("n1", system_);
  EXPECT_TRUE(tree.enforced().empty());
  ASSERT_EQ(tree.not_enforced().size(), 3u);
  EXPECT_THAT(tree.not_enforced()[0], HasSubstr("not delegated"));
  EXPECT_FALSE(tree.Enforces("memory"));
}

TEST_F(CgroupsTest, V2ThatTasksCannotJoinIsNotClaimed) {
  MakeV2("/user.slice");
  system_.can_join = [](const std::string&) { return false; };
  const CgroupTree tree = CgroupTree::Detect("n1", system_);
  EXPECT_TRUE(tree.enforced().empty());
  EXPECT_THAT(tree.not_enforced()[2], HasSubstr("cannot be moved"));
}

TEST_F(CgroupsTest, V1UsesOneFolderAController) {
  MakeV1();
  const CgroupTree tree = CgroupTree::Detect("n1", system_);
  EXPECT_THAT(tree.enforced(), ElementsAre("cgroup-memory", "cgroup-cpu-weight", "cgroup-pids"));
  std::vector<std::string> problems;
  const std::vector<std::string> folders =
      tree.Create("t", {.memory_bytes = 4096, .cpu_milli = 500, .num_processes_max = 3}, problems);
  ASSERT_EQ(folders.size(), 3u);
  EXPECT_EQ(Read(folders[0] + "/memory.limit_in_bytes"), "4096");
  EXPECT_EQ(Read(folders[0] + "/memory.memsw.limit_in_bytes"), "4096");
  EXPECT_EQ(Read(folders[1] + "/cpu.shares"), "512");
  EXPECT_EQ(Read(folders[1] + "/cpu.cfs_quota_us"), "") << "a weight only, unless asked for";
  EXPECT_EQ(Read(folders[2] + "/pids.max"), "3");
}

TEST_F(CgroupsTest, ALimitThatCannotBeSetIsAProblemInWords) {
  MakeV1();
  const CgroupTree tree = CgroupTree::Detect("n1", system_);
  files_ = {"cgroup.procs", "cpu.shares", "pids.max"};
  std::vector<std::string> problems;
  tree.Create("t", {.memory_bytes = 4096}, problems);
  EXPECT_THAT(problems, ElementsAre(HasSubstr("cannot set the memory limit")));
}

// The machine's own v2 hierarchy, where this process may make a group in it.
TEST(RealCgroupsTest, V2KillsAWholeGroupAtOnce) {
  std::string mount;
  std::ifstream mounts("/proc/mounts");
  for (std::string device, at, type, rest; mounts >> device >> at >> type;) {
    std::getline(mounts, rest);
    if (type == "cgroup2" && mount.empty()) mount = at;
  }
  if (mount.empty()) GTEST_SKIP() << "no cgroup2 file system is mounted";
  const std::string group = absl::StrCat(mount, "/oneai-test-", getpid());
  const CgroupSystem system = RealCgroups();
  if (!system.make_folder(group)) GTEST_SKIP() << "no group can be made in " << mount;
  EXPECT_TRUE(system.can_join(group));
  EXPECT_TRUE(fs::exists(group + "/cgroup.procs"));
  rmdir(group.c_str());
}

}  // namespace
}  // namespace oneai::fabric
