#include "compute_fabric/jobs/job_spec.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

v1::JobSpec ValidSpec() {
  v1::JobSpec spec;
  spec.set_name("train");
  spec.set_project("retail/nlp");
  spec.set_kind("command");
  spec.add_command("/bin/true");
  spec.set_num_tasks(2);
  spec.mutable_resources()->set_cpu_milli(500);
  spec.set_gang(true);
  return spec;
}

TEST(JobSpecTest, AcceptsAValidSpec) { EXPECT_OK(ValidateJobSpec(ValidSpec(), {"pretrain"})); }

TEST(JobSpecTest, NamesTheWrongFieldAndTheNearestValidValue) {
  struct Case {
    std::function<void(v1::JobSpec&)> spoil;
    std::string field;
    std::string hint;
  };
  const Case cases[] = {
      {[](auto& s) { s.set_name("my job!"); }, "name:", "\"my-job\""},
      {[](auto& s) { s.set_name(""); }, "name:", "empty"},
      {[](auto& s) { s.set_name(std::string(129, 'a')); }, "name:", "128"},
      {[](auto& s) { s.set_name("a\x1b[31m"); }, "name:", "\\x1b"},
      {[](auto& s) { s.set_project("retail"); }, "project:", "retail/main"},
      {[](auto& s) { s.set_project("../x"); }, "project", "no name"},
      {[](auto& s) { s.set_kind("pretrian"); }, "kind:", "did you mean pretrain?"},
      {[](auto& s) { s.clear_command(); }, "command:", "empty"},
      {[](auto& s) { s.set_kind("pretrain"); }, "command:", "own command"},
      {[](auto& s) { s.set_command(0, std::string("a\0b", 3)); }, "command[0]:", "NUL"},
      {[](auto& s) { (*s.mutable_env())["RANK"] = "1"; }, "env:", "set by the fabric"},
      {[](auto& s) { (*s.mutable_env())["ONEAI_X"] = "1"; }, "env:", "set by the fabric"},
      {[](auto& s) { (*s.mutable_env())["A=B"] = "1"; }, "env:", "variable name"},
      {[](auto& s) { s.set_num_tasks(0); }, "num_tasks:", "nearest valid value is 1"},
      {[](auto& s) { s.set_num_tasks(5000); }, "num_tasks:", "nearest valid value is 4096"},
      {[](auto& s) { s.mutable_resources()->set_cpu_milli(0); }, "resources.cpu_milli:", "is 1"},
      {[](auto& s) { s.mutable_resources()->set_memory_bytes(-1); },
       "resources.memory_bytes:", "is 0"},
      {[](auto& s) { s.mutable_resources()->set_num_ports(65); }, "resources.num_ports:", "is 64"},
      {[](auto& s) { s.mutable_resources()->add_devices()->set_kind("amx"); },
       "resources.devices[0].count", "is 1"},
      {[](auto& s) { s.set_priority(2000); }, "priority:", "is 1000"},
      {[](auto& s) { s.mutable_restart()->set_max_restarts(-2); },
       "restart.max_restarts:", "is -1"},
      {[](auto& s) {
         s.mutable_restart()->set_backoff_initial_ms(5000),
             s.mutable_restart()->set_backoff_max_ms(10);
       },
       "restart.backoff_max_ms:", "5000"},
      {[](auto& s) { s.set_grace_ms(-5); }, "grace_ms:", "is 0"},
      {[](auto& s) { s.set_time_limit_ms(-5); }, "time_limit_ms:", "is 0"},
      {[](auto& s) { s.set_long_running(true); }, "long_running:", "only one"},
      {[](auto& s) { s.add_data()->set_purpose("x"); }, "data[0].dataset:", "empty"},
      {[](auto& s) { s.add_data()->set_dataset("x"); }, "data[0].purpose:", "purpose"},
      {[](auto& s) { (*s.mutable_labels())["bad key"] = ""; }, "labels:", "bad-key"},
      {[](auto& s) {
         auto& device = *s.mutable_resources()->add_devices();
         device.set_kind("gpu"), device.set_count(2), device.set_milli(500);
       },
       "resources.devices[0].milli:", "count 1"},
      {[](auto& s) {
         auto& device = *s.mutable_resources()->add_devices();
         device.set_kind("gpu"), device.set_count(1), device.set_milli(1500);
       },
       "resources.devices[0].milli:", "is 1000"},
      {[](auto& s) { s.set_num_tasks_min(3); }, "num_tasks_min:", "is 2"},
      {[](auto& s) { s.set_num_tasks_min(-1); }, "num_tasks_min:", "is 0"},
      {[](auto& s) { s.set_gang(false), s.set_num_tasks_min(1); }, "num_tasks_min:", "gangs"},
      {[](auto& s) { s.mutable_topology()->set_required(true); }, "topology.level:", "RACK"},
      {[](auto& s) { s.mutable_topology()->set_level(v1::NVLINK); }, "topology.level:", "HOST"},
      {[](auto& s) {
         s.mutable_topology()->set_level(v1::HOST), s.mutable_topology()->set_required(true);
         s.set_spread(v1::NODE);
       },
       "topology.level:", "spread PACK"},
      {[](auto& s) { s.mutable_preemption()->set_warning_signal(9); },
       "preemption.warning_signal:", "SIGUSR1"},
      {[](auto& s) { s.mutable_preemption()->set_warning_signal(99); },
       "preemption.warning_signal:", "is 64"},
      {[](auto& s) { s.mutable_preemption()->set_warning_ms(5); },
       "preemption.warning_signal:", "SIGUSR1"},
      {[](auto& s) { s.set_priority_class("hihg"); }, "priority_class:", "is high"},
      {[](auto& s) { s.set_priority_class("high"), s.set_priority(3); }, "priority:", "is 100"},
      {[](auto& s) { s.add_depends_on()->set_job_id("train"); }, "depends_on[0].job_id:", "no id"},
      {[](auto& s) {
         s.add_depends_on()->set_job_id("job-a"), s.add_depends_on()->set_job_id("job-a");
       },
       "depends_on[1].job_id:", "twice"},
      {[](auto& s) { s.set_queue("bank/risk"); }, "queue:", "\"retail/nlp\""},
      {[](auto& s) { s.set_queue("retail/"); }, "queue:", "\"retail\""},
      {[](auto& s) { s.set_disk_bytes(-1); }, "disk_bytes:", "is 0"},
      {[](auto& s) { s.set_reservation("launch week"); }, "reservation:", "launch-week"},
  };
  for (const Case& c : cases) {
    v1::JobSpec spec = ValidSpec();
    c.spoil(spec);
    EXPECT_THAT(
        ValidateJobSpec(spec, {"pretrain", "serve"}),
        StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(c.field), HasSubstr(c.hint))));
  }
}

TEST(JobSpecTest, APriorityClassSetsPriorityAndWhetherTheJobGivesWay) {
  EXPECT_EQ(PriorityOfClass("frontier"), 1000);
  EXPECT_EQ(PriorityOfClass("idle"), -1000);
  EXPECT_EQ(PriorityOfClass("urgent"), std::nullopt);
  v1::JobSpec spec = ValidSpec();
  EXPECT_TRUE(IsPreemptible(spec));
  spec.set_priority(1000);
  EXPECT_FALSE(IsPreemptible(spec));
  spec.mutable_preemption()->set_preemptible(v1::PREEMPTIBLE);
  EXPECT_TRUE(IsPreemptible(spec));
  EXPECT_EQ(DescribePriority(100), "high");
  EXPECT_EQ(DescribePriority(7), "7");
}

TEST(JobSpecTest, BusinessUnitIsThePartBeforeTheSlash) {
  EXPECT_EQ(BusinessUnitOf("retail/nlp"), "retail");
}

}  // namespace
}  // namespace oneai::fabric
