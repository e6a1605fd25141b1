#include "compute_fabric/node/task_environment.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::fabric {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

NodeFacts CpuNode() {
  NodeFacts node;
  node.name = "node-a";
  node.address = "10.0.0.1";
  node.controller = "10.0.0.9:7400";
  node.devices = {{.id = "cpu-0", .kind = "x86-amx"}};
  node.base_env = {{"PATH", "/bin"}, {"HOME", "/root"}};
  return node;
}

TaskOrder Order() {
  TaskOrder order;
  order.key = {"job-a", 1, 2};
  order.env = {{"RANK", "1"}, {"ONEAI_ADDRESS", "0.0.0.0"}};
  order.cpu_milli = 2500;
  order.device_ids = {"cpu-0"};
  order.ports = {20001, 20002};
  return order;
}

TEST(TaskEnvironmentTest, OnlyTheNodeGivesACacheFolder) {
  TaskOrder order = Order();
  order.env["ONEAI_CACHE_DIR"] = "/somebody/else";
  EXPECT_THAT(TaskEnvironment(order, CpuNode(), "/t"), Not(Contains(Key("ONEAI_CACHE_DIR"))));
  EXPECT_THAT(TaskEnvironment(order, CpuNode(), "/t", "/cache/a/b"),
              Contains(Pair("ONEAI_CACHE_DIR", "/cache/a/b")));
  order.command = {"python3", "steal.py"};
  EXPECT_FALSE(UsesNodeCache(order));
  order.command = {"oneai-serve"};
  EXPECT_TRUE(UsesNodeCache(order));
}

TEST(TaskEnvironmentTest, SetsWhatTheNodeKnows) {
  const auto env = TaskEnvironment(Order(), CpuNode(), "/state/tasks/x");
  EXPECT_THAT(env, Contains(Pair("RANK", "1")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_TASK_DIR", "/state/tasks/x")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_METRICS_FILE", "/state/tasks/x/metrics.jsonl")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_READY_FILE", "/state/tasks/x/ready")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_PORT_0", "20001")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_PORT_1", "20002")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_DEVICE_KIND", "x86-amx")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_CONTROLLER", "10.0.0.9:7400")));
  EXPECT_THAT(env, Contains(Pair("OMP_NUM_THREADS", "2")));
  EXPECT_THAT(env, Contains(Pair("PATH", "/bin")));
}

TEST(TaskEnvironmentTest, TheOrderWinsExceptOverTheFolder) {
  TaskOrder order = Order();
  order.env["OMP_NUM_THREADS"] = "7";
  order.env["PATH"] = "/opt/bin";
  order.env["ONEAI_TASK_DIR"] = "/etc";
  const auto env = TaskEnvironment(order, CpuNode(), "/t");
  EXPECT_THAT(env, Contains(Pair("OMP_NUM_THREADS", "7")));
  EXPECT_THAT(env, Contains(Pair("PATH", "/opt/bin")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_ADDRESS", "0.0.0.0")));
  EXPECT_THAT(env, Contains(Pair("ONEAI_TASK_DIR", "/t")));
}

TEST(TaskEnvironmentTest, GpuTasksSeeTheirGpusAndOthersNone) {
  NodeFacts node = CpuNode();
  node.devices.push_back({.id = "gpu-0", .kind = "nvidia-h100-80g", .uuid = "GPU-x"});
  node.devices.push_back({.id = "gpu-1", .kind = "nvidia-h100-80g", .uuid = "GPU-y"});
  TaskOrder order = Order();
  EXPECT_THAT(TaskEnvironment(order, node, "/t"), Contains(Pair("CUDA_VISIBLE_DEVICES", "")));
  order.device_ids = {"gpu-1"};
  EXPECT_THAT(TaskEnvironment(order, node, "/t"), Contains(Pair("CUDA_VISIBLE_DEVICES", "GPU-y")));
  EXPECT_THAT(TaskEnvironment(order, CpuNode(), "/t"), Not(Contains(Key("CUDA_VISIBLE_DEVICES"))));
}

TEST(TaskEnvironmentTest, AShareIsToldAndEnforcedByMpsOnNvidia) {
  NodeFacts node = CpuNode();
  node.devices.push_back({.id = "gpu-0", .kind = "nvidia-h100-80g", .uuid = "GPU-x"});
  node.devices.push_back({.id = "asic-0", .kind = "hanguang-800"});
  TaskOrder order = Order();
  order.device_ids = {"gpu-0"};
  order.shares = {{"gpu-0", 250, int64_t{20} << 30}};
  auto env = TaskEnvironment(order, node, "/t");
  EXPECT_THAT(env, Contains(Pair("ONEAI_DEVICE_GRANTS", "gpu-0:250:21474836480")));
  EXPECT_THAT(env, Contains(Pair("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "25")));
  EXPECT_THAT(env, Contains(Pair("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=20480M")));
  order.device_ids = {"asic-0"};
  order.shares = {{"asic-0", 500, 0}};
  env = TaskEnvironment(order, node, "/t");
  EXPECT_THAT(env, Contains(Pair("ONEAI_DEVICE_GRANTS", "asic-0:500:0")));
  EXPECT_THAT(env, Not(Contains(Key("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"))));
}

TEST(TaskEnvironmentTest, DeviceFilesAreThoseOfTheGrantedGpusAndTheirDriver) {
  NodeFacts node = CpuNode();
  node.devices.push_back({.id = "gpu-0", .device_node = "/dev/nvidia3", .uuid = "GPU-x"});
  TaskOrder order = Order();
  EXPECT_THAT(DeviceNodesOf(order, node), ElementsAre());
  order.device_ids = {"gpu-0"};
  EXPECT_THAT(DeviceNodesOf(order, node), Contains("/dev/nvidia3"));
  EXPECT_THAT(DeviceNodesOf(order, node), Contains("/dev/nvidiactl"));
}

TEST(TaskEnvironmentTest, TheAgentsOwnEnvironmentStaysWithIt) {
  const auto base = BaseEnvironment({{"PATH", "/p"}, {"SECRET", "x"}, {"LD_LIBRARY_PATH", "/l"}});
  EXPECT_THAT(base, Contains(Pair("PATH", "/p")));
  EXPECT_THAT(base, Contains(Pair("LD_LIBRARY_PATH", "/l")));
  EXPECT_THAT(base, Not(Contains(Key("SECRET"))));
  EXPECT_THAT(base, Contains(Key("HOME")));
}

TEST(TaskEnvironmentTest, BuiltInProgramsComeFromBesideTheAgent) {
  const std::filesystem::path bin = std::filesystem::path(::testing::TempDir()) / "resolve_bin";
  std::filesystem::create_directories(bin);
  std::ofstream(bin / "oneai-train") << "x";
  EXPECT_THAT(ResolveProgram({"oneai-train", "pretrain"}, bin.string()),
              ElementsAre((bin / "oneai-train").string(), "pretrain"));
  EXPECT_THAT(ResolveProgram({"python3"}, bin.string()), ElementsAre("python3"));
  EXPECT_THAT(ResolveProgram({"./oneai-train"}, bin.string()), ElementsAre("./oneai-train"));
  EXPECT_THAT(ResolveProgram({}, bin.string()), ElementsAre());
  std::filesystem::remove_all(bin);
}

}  // namespace
}  // namespace oneai::fabric
