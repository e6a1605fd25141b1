#include "cli/up/layout.h"

#include <sys/stat.h>

#include <set>

#include "base/auth/pki.h"
#include "base/files/files.h"
#include "cli/up/component_process.h"
#include "cli/up/supervisor.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::cli {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempDir;

UpOptions In(const std::filesystem::path& dir) {
  UpOptions options;
  options.dir = dir;
  options.port_base = 26400;
  return options;
}

TEST(LayoutTest, PlansControllerNodesAndGatewayInThatOrder) {
  ASSERT_OK_AND_ASSIGN(const FabricPlan plan, PlanFabric(In("/nowhere"), "/bin-dir"));
  std::vector<std::string> names;
  for (const Component& component : plan.components) names.push_back(component.name);
  EXPECT_THAT(names, ::testing::ElementsAre("controller", "node-a", "node-b", "asic-a", "gateway"));
  EXPECT_EQ(plan.client.controller, "127.0.0.1:26400");
  EXPECT_EQ(plan.client.gateway_http, "https://127.0.0.1:26580");
  EXPECT_FALSE(std::filesystem::exists("/nowhere"));
}

TEST(LayoutTest, PlansThreeControllersOverEtcdForHa) {
  TempDir dir;
  UpOptions options = In(dir.path() / "f");
  options.ha = true;
  options.num_asic_nodes = 0;
  const absl::StatusOr<FabricPlan> plan = PlanFabric(options, "/bin-dir");
  if (absl::IsFailedPrecondition(plan.status())) {
    EXPECT_THAT(plan.status().message(), HasSubstr("apt-get install etcd-server"));
    GTEST_SKIP() << "etcd is not installed";
  }
  ASSERT_OK(plan);
  std::vector<std::string> names;
  for (const Component& component : plan->components) names.push_back(component.name);
  EXPECT_THAT(names,
              ::testing::ElementsAre("etcd-a", "etcd-b", "etcd-c", "controller-a", "controller-b",
                                     "controller-c", "node-a", "node-b", "gateway"));
  EXPECT_EQ(plan->num_nodes, 2u);
  EXPECT_EQ(plan->client.controller, "127.0.0.1:26400,127.0.0.1:26401,127.0.0.1:26402");
  const std::vector<std::string>& node = plan->components[6].argv;
  EXPECT_THAT(node, ::testing::Contains(plan->client.controller));
  ASSERT_OK(PrepareFolder(*plan));
  // Nobody whom the fabric's CA certifies gets into etcd.
  EXPECT_NE(*ReadFile(plan->dir / "pki" / "ca.crt"),
            *ReadFile(plan->dir / "etcd" / "pki" / "ca.crt"));
  EXPECT_FALSE(std::filesystem::exists(plan->dir / "pki" / "etcd-a.crt"));
  options.ha = false;
  EXPECT_THAT(PrepareFolder(*PlanFabric(options, "/bin-dir")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--ha")));
}

TEST(LayoutTest, HaDoesNotForgetTheStateOfASingleController) {
  TempDir dir;
  FabricPlan plan;
  plan.dir = dir.path();
  plan.ha = true;
  std::filesystem::create_directories(dir.path() / "controller");
  ASSERT_OK(WriteFileAtomically(dir.path() / "controller" / "store.db", "x"));
  EXPECT_THAT(PrepareFolder(plan),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("SQLite")));
}

TEST(LayoutTest, RefusesWhatCannotBe) {
  TempDir dir;
  UpOptions options = In(dir.path());
  options.port_base = 80;
  EXPECT_THAT(PlanFabric(options, "/b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--port-base 80")));
  options.port_base = 65000;
  EXPECT_THAT(PlanFabric(options, "/b"), StatusIs(absl::StatusCode::kInvalidArgument, _));
  options = In(dir.path());
  options.num_cpu_nodes = options.num_asic_nodes = 0;
  EXPECT_THAT(PlanFabric(options, "/b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 to 20")));
}

TEST(LayoutTest, TheFolderIsItsOwnersAndItsCaStays) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const FabricPlan plan, PlanFabric(In(dir.path() / "f"), "/b"));
  ASSERT_OK(PrepareFolder(plan));
  const auto mode = [&](const char* name) {
    struct stat info = {};
    stat((plan.dir / name).c_str(), &info);
    return info.st_mode & 0777;
  };
  EXPECT_EQ(mode(""), 0700u);
  EXPECT_EQ(mode("pki/ca.key"), 0600u);
  EXPECT_EQ(mode("pki/controller.key"), 0600u);
  ASSERT_OK_AND_ASSIGN(const std::string ca, ReadFile(plan.dir / "pki" / "ca.crt"));
  std::filesystem::remove(plan.dir / "pki" / "gateway.crt");
  ASSERT_OK(WriteFileAtomically(plan.dir / "pki" / "node-a.crt", "damaged", 0644));
  ASSERT_OK(PrepareFolder(plan));
  EXPECT_EQ(ReadFile(plan.dir / "pki" / "ca.crt").value(), ca);
  for (const std::string name : {"gateway", "node-a"}) {
    const std::filesystem::path pki = plan.dir / "pki";
    EXPECT_OK(LoadTlsCredentials({pki / "ca.crt", pki / (name + ".crt"), pki / (name + ".key")}));
  }
}

// Never through Supervise(): if this fails, processes of this machine would be taken over.
TEST(ComponentProcessTest, AComponentWithoutAStateFolderIsNoRunningProcess) {
  EXPECT_EQ(FindProcess({"controller", {"/bin/sh", "-c", "true"}, "log", ""}).pid, 0);
  EXPECT_EQ(FindProcess({"controller", {"/bin/sh", "--state-dir"}, "log", ""}).pid, 0);
}

TEST(ComponentProcessTest, NobodyElsesStateFolderIsMatched) {
  TempDir dir;
  EXPECT_EQ(
      FindProcess(
          {"controller", {"/b/oneai-controller", "--state-dir", dir.path().string()}, "log", ""})
          .pid,
      0);
}

TEST(SupervisorTest, AFolderWithoutAFabricHasNothingToStop) {
  TempDir dir;
  EXPECT_FALSE(IsSupervised(dir.path()));
  EXPECT_THAT(StopFabric(dir.path()), StatusIs(absl::StatusCode::kNotFound, _));
}

}  // namespace
}  // namespace oneai::cli
