#include "base/auth/access.h"

#include <set>

#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using auth::v1::Role;
using common::v1::Principal;
using ::testing::HasSubstr;
using testing::StatusIs;

Identity Caller(Principal::Kind kind, const std::string& name) {
  Identity identity;
  identity.principal.set_kind(kind);
  identity.principal.set_name(name);
  return identity;
}

Identity With(Identity identity, Role role, const std::string& unit) {
  auth::v1::RoleBinding binding;
  binding.set_role(role);
  binding.set_business_unit(unit);
  identity.bindings.push_back(binding);
  return identity;
}

constexpr int kNumPermissions = static_cast<int>(Permission::kGateway) + 1;

TEST(AccessTest, TheTableOfRoles) {
  // One letter a permission, in the order of the enum; "." denied.
  const std::pair<Role, std::string> table[] = {
      {auth::v1::ROLE_UNSPECIFIED, "................."},
      {auth::v1::VIEWER, "F.....M.D........"},
      {auth::v1::ENGINEER, "FSC...MRDRO......"},
      {auth::v1::DEPLOYER, "F..E..M.D.....I.."},
      {auth::v1::STEWARD, "F.....M.DROPA...."},
      {auth::v1::SRE, "F.C.N.M.....A...."},
      {auth::v1::ADMIN, "FSCENQMRDROPATI.."},
      {auth::v1::INFERENCE, "..............I.."},
  };
  for (const auto& [role, row] : table) {
    ASSERT_EQ(row.size(), static_cast<size_t>(kNumPermissions));
    for (int p = 0; p < kNumPermissions; ++p) {
      EXPECT_EQ(RoleAllows(role, static_cast<Permission>(p)), row[static_cast<size_t>(p)] != '.')
          << Role_Name(role) << " " << p;
    }
  }
}

TEST(AccessTest, NobodyMayDoAnythingByDefault) {
  const Identity nobody = Caller(Principal::USER, "eve");
  for (int p = 0; p < kNumPermissions; ++p) {
    EXPECT_THAT(CheckPermission(nobody, static_cast<Permission>(p), "retail"),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("eve")));
  }
}

TEST(AccessTest, ARoleCountsInItsOwnUnit) {
  const Identity alice = With(Caller(Principal::USER, "alice"), auth::v1::ENGINEER, "retail");
  EXPECT_OK(CheckPermission(alice, Permission::kSubmitJob, "retail"));
  EXPECT_OK(CheckPermission(alice, Permission::kViewFabric, ""));
  EXPECT_THAT(
      CheckPermission(alice, Permission::kSubmitJob, "finance"),
      StatusIs(absl::StatusCode::kPermissionDenied,
               "user \"alice\" may not submit jobs of unit \"finance\"; a role that allows it: "
               "engineer, admin"));
  EXPECT_OK(CheckPermission(With(alice, auth::v1::ADMIN, "*"), Permission::kSubmitJob, "finance"));
}

TEST(AccessTest, AJobActsWithItsOwnersRightsMinusManagement) {
  const Identity job = With(Caller(Principal::JOB, "job-1"), auth::v1::ADMIN, "*");
  const std::set<Permission> allowed = {Permission::kViewFabric, Permission::kViewModels,
                                        Permission::kViewData,   Permission::kOpenData,
                                        Permission::kInfer,      Permission::kRegisterModel};
  for (int p = 0; p < kNumPermissions; ++p) {
    const auto permission = static_cast<Permission>(p);
    EXPECT_EQ(CheckPermission(job, permission, "retail").ok(), allowed.contains(permission)) << p;
  }
  EXPECT_THAT(CheckPermission(job, Permission::kSubmitJob, ""),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("no job may")));
  // A job of a viewer gains nothing by being a job.
  EXPECT_FALSE(CheckPermission(With(Caller(Principal::JOB, "j"), auth::v1::VIEWER, "*"),
                               Permission::kOpenData, "retail")
                   .ok());
}

TEST(AccessTest, APoolSpeaksForItsNodesOnly) {
  EXPECT_TRUE(SpeaksForNode("a", "a"));
  EXPECT_TRUE(SpeaksForNode("slurm.*", "slurm.n1"));
  EXPECT_FALSE(SpeaksForNode("slurm.*", "slurm"));
  EXPECT_FALSE(SpeaksForNode("slurm.*", "slurm."));
  EXPECT_FALSE(SpeaksForNode("slurm.*", "slurmx.n1"));
  EXPECT_FALSE(SpeaksForNode("a", "a.b"));
  EXPECT_FALSE(SpeaksForNode("*", "a"));
}

TEST(AccessTest, CertificatesCarryTheirOwnRights) {
  EXPECT_OK(CheckPermission(Caller(Principal::NODE, "a"), Permission::kAgent, ""));
  EXPECT_FALSE(CheckPermission(Caller(Principal::NODE, "a"), Permission::kSubmitJob, "").ok());
  EXPECT_OK(CheckPermission(Caller(Principal::COMPONENT, "gateway"), Permission::kGateway, ""));
  EXPECT_THAT(CheckPermission(Caller(Principal::COMPONENT, "controller"), Permission::kGateway, ""),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("certificate")));
  EXPECT_OK(
      CheckPermission(Caller(Principal::COMPONENT, "controller"), Permission::kInfer, "retail"));
  // A user named like a component is still a user.
  EXPECT_FALSE(CheckPermission(Caller(Principal::USER, "gateway"), Permission::kGateway, "").ok());
}

}  // namespace
}  // namespace oneai
