#include "data_gov/policy/policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::gov {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

data::v1::DatasetVersion Dataset(data::v1::Classification classification) {
  data::v1::DatasetVersion version;
  version.mutable_header()->set_name("retail/orders");
  version.mutable_header()->set_classification(classification);
  version.mutable_header()->add_allowed_purposes("pretraining");
  version.mutable_header()->add_allowed_purposes("evaluation");
  version.set_version(1);
  return version;
}

common::v1::Principal Reader(const std::string& unit) {
  common::v1::Principal reader;
  reader.set_name("alice");
  reader.set_business_unit(unit);
  return reader;
}

data::v1::PolicyRule Rule(const std::string& id, data::v1::PolicyRule::Effect effect) {
  data::v1::PolicyRule rule;
  rule.set_id(id);
  rule.set_effect(effect);
  rule.set_reason("because");
  return rule;
}

TEST(PolicyTest, NothingIsPermittedByDefault) {
  const data::v1::DatasetVersion dataset = Dataset(data::v1::INTERNAL);
  const auto decision = Evaluate({}, {Reader("retail"), "pretraining", &dataset});
  EXPECT_FALSE(decision.allowed());
  EXPECT_EQ(decision.rule(), "default-deny");
}

TEST(PolicyTest, ForbidBeatsPermitWhateverTheOrder) {
  const data::v1::DatasetVersion dataset = Dataset(data::v1::INTERNAL);
  const auto permit = Rule("a-permit", data::v1::PolicyRule::PERMIT);
  const auto forbid = Rule("z-forbid", data::v1::PolicyRule::FORBID);
  for (const auto& rules : {std::vector{permit, forbid}, std::vector{forbid, permit}}) {
    const auto decision = Evaluate(rules, {Reader("retail"), "pretraining", &dataset});
    EXPECT_FALSE(decision.allowed());
    EXPECT_EQ(decision.rule(), "z-forbid");
    EXPECT_THAT(decision.explanation(), HasSubstr("because"));
  }
}

TEST(PolicyTest, NoRuleWidensTheOwnersPurposes) {
  const data::v1::DatasetVersion dataset = Dataset(data::v1::PUBLIC);
  const auto decision = Evaluate({Rule("all", data::v1::PolicyRule::PERMIT)},
                                 {Reader("retail"), "finetuning", &dataset});
  EXPECT_FALSE(decision.allowed());
  EXPECT_EQ(decision.rule(), "owner-purposes");
}

TEST(PolicyTest, PatternsNarrowARule) {
  const data::v1::DatasetVersion dataset = Dataset(data::v1::INTERNAL);
  data::v1::PolicyRule rule = Rule("some", data::v1::PolicyRule::PERMIT);
  rule.add_datasets("retail/*");
  rule.add_business_units("logistics");
  rule.add_purposes("evaluation");
  EXPECT_TRUE(Evaluate({rule}, {Reader("logistics"), "evaluation", &dataset}).allowed());
  EXPECT_FALSE(Evaluate({rule}, {Reader("logistics"), "pretraining", &dataset}).allowed());
  EXPECT_FALSE(Evaluate({rule}, {Reader("finance"), "evaluation", &dataset}).allowed());
}

TEST(PolicyTest, DefaultRulesLetUnitsReadTheirOwnAndPublicData) {
  const std::vector<data::v1::PolicyRule> rules = DefaultRules();
  const data::v1::DatasetVersion internal = Dataset(data::v1::INTERNAL);
  const data::v1::DatasetVersion open = Dataset(data::v1::PUBLIC);
  const data::v1::DatasetVersion restricted = Dataset(data::v1::RESTRICTED);
  EXPECT_TRUE(Evaluate(rules, {Reader("retail"), "pretraining", &internal}).allowed());
  EXPECT_FALSE(Evaluate(rules, {Reader("finance"), "pretraining", &internal}).allowed());
  EXPECT_TRUE(Evaluate(rules, {Reader("finance"), "pretraining", &open}).allowed());
  EXPECT_EQ(Evaluate(rules, {Reader("retail"), "pretraining", &restricted}).rule(),
            "personal-data-never-trains");
  EXPECT_TRUE(Evaluate(rules, {Reader("retail"), "evaluation", &restricted}).allowed());
}

TEST(PolicyTest, UnknownPurposeNamesTheNearest) {
  EXPECT_THAT(ValidatePurpose("pretrainning"), StatusIs(absl::StatusCode::kInvalidArgument,
                                                        HasSubstr("did you mean \"pretraining\"")));
}

TEST(PolicyTest, RulesAreChecked) {
  EXPECT_THAT(ValidateRule(Rule("", data::v1::PolicyRule::PERMIT)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("id")));
  data::v1::PolicyRule silent = Rule("silent", data::v1::PolicyRule::FORBID);
  silent.clear_reason();
  EXPECT_THAT(ValidateRule(silent),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("reason")));
  EXPECT_OK(ValidateRule(Rule("fine", data::v1::PolicyRule::FORBID)));
}

}  // namespace
}  // namespace oneai::gov
