#include "cli/job_file.h"

#include "tests/testing/status_matchers.h"

namespace oneai::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr char kWhole[] = R"(name: work
project: retail/nlp
command: [/bin/echo, hello]
tasks: 2
spread: node
grace: 3s
resources:
  cpus: 0.5
  memory: 64MiB
restart:
  max_restarts: 1
  backoff: 250ms
env: {KEY: value}
data:
  - dataset: retail/corpus
    purpose: evaluation
)";

TEST(JobFileTest, SaysEverythingAboutAJob) {
  ASSERT_OK_AND_ASSIGN(const fabric::v1::JobSpec spec, ParseJobFile(kWhole, "job.yaml"));
  EXPECT_EQ(spec.kind(), "command");
  EXPECT_THAT(spec.command(), ElementsAre("/bin/echo", "hello"));
  EXPECT_EQ(spec.num_tasks(), 2);
  EXPECT_EQ(spec.spread(), fabric::v1::NODE);
  EXPECT_EQ(spec.grace_ms(), 3000);
  EXPECT_EQ(spec.resources().cpu_milli(), 500);
  EXPECT_EQ(spec.resources().memory_bytes(), 64 << 20);
  EXPECT_EQ(spec.restart().max_restarts(), 1);
  EXPECT_EQ(spec.restart().backoff_initial_ms(), 250);
  EXPECT_EQ(spec.env().at("KEY"), "value");
  ASSERT_EQ(spec.data_size(), 1);
  EXPECT_EQ(spec.data(0).purpose(), "evaluation");
}

TEST(JobFileTest, ErrorsNameTheFileTheLineAndTheWayOut) {
  const std::string head = "name: a\nproject: u/p\n";
  const std::pair<std::string, std::string> cases[] = {
      {"", "job.yaml"},
      {"name: a\n  project: [", "job.yaml:"},
      {head + "commnd: [x]\n", "job.yaml:3: unknown key \"commnd\"; did you mean \"command\"?"},
      {head, "command"},
      {head + "command: [x]\ntasks: many\n", "job.yaml:4: \"tasks\""},
      {head + "command: [x]\ntasks: 0\n", "job.yaml:4: \"tasks\""},
      {head + "command: x\n", "job.yaml:3: \"command\""},
      {head + "command: [x]\nresources: {cpu: 1}\n", "did you mean \"cpus\"?"},
      {head + "command: [x]\nresources: {memory: lots}\n", "memory"},
      {head + "kind: pretain\n", "did you mean \"pretrain\"?"},
      {head + "kind: pretrain\n", "needs a section `pretrain:`"},
      {head + "kind: pretrain\ncommand: [x]\npretrain: {a: 1}\n", "no command of its own"},
      {head + "command: [x]\ndata: [{dataset: u/d}]\n", "purpose"},
      {head + "command: [x]\nname: b\n", "name"},
      {std::string(10'000, 'k') + ": 1\n", "job.yaml:1"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ParseJobFile(text, "job.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << text;
  }
}

}  // namespace
}  // namespace oneai::cli
