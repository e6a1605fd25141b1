#include "cli/job_file.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "base/files/files.h"
#include "tests/testing/paths.h"
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

TEST(JobFileTest, SaysHowAJobWantsToBePlaced) {
  constexpr char kText[] = R"(name: work
project: retail/nlp
command: [train, "--lr=${lr}"]
tasks: {min: 2, max: 8}
spread: rack
topology: {level: rack, required: true}
node_selector: {gpu: h100}
priority_class: high
preemption: {preemptible: true, warning_signal: SIGUSR1, warning: 2m}
depends_on: [afterok:job-a, afterany:array-b, job-c]
reservation: launch
queue: retail/sandbox
disk: 10GiB
processes: 64
resources:
  devices:
    - {kind: nvidia-h100-80g, milli: 250, memory: 20GiB}
sweep:
  parameters:
    - {name: lr, min: 1.0e-5, max: 1.0e-2, log: true}
    - {name: batch, values: [8, 16]}
  samples: 20
  seed: 7
  running_max: 4
)";
  ASSERT_OK_AND_ASSIGN(const fabric::v1::JobSpec spec, ParseJobFile(kText, "job.yaml"));
  EXPECT_EQ(spec.num_tasks_min(), 2);
  EXPECT_EQ(spec.num_tasks(), 8);
  EXPECT_EQ(spec.spread(), fabric::v1::SPREAD_RACK);
  EXPECT_EQ(spec.topology().level(), fabric::v1::RACK);
  EXPECT_TRUE(spec.topology().required());
  EXPECT_EQ(spec.node_selector().at("gpu"), "h100");
  EXPECT_EQ(spec.priority_class(), "high");
  EXPECT_EQ(spec.preemption().preemptible(), fabric::v1::PREEMPTIBLE);
  EXPECT_EQ(spec.preemption().warning_signal(), 10);
  EXPECT_EQ(spec.preemption().warning_ms(), 120'000);
  ASSERT_EQ(spec.depends_on_size(), 3);
  EXPECT_EQ(spec.depends_on(1).job_id(), "array-b");
  EXPECT_EQ(spec.depends_on(1).condition(), fabric::v1::AFTER_ANY);
  EXPECT_EQ(spec.depends_on(2).condition(), fabric::v1::AFTER_OK);
  EXPECT_EQ(spec.reservation(), "launch");
  EXPECT_EQ(spec.queue(), "retail/sandbox");
  EXPECT_EQ(spec.disk_bytes(), int64_t{10} << 30);
  EXPECT_EQ(spec.processes_max(), 64);
  EXPECT_EQ(spec.resources().devices(0).milli(), 250);
  EXPECT_EQ(spec.resources().devices(0).memory_bytes(), int64_t{20} << 30);
  ASSERT_EQ(spec.sweep().parameters_size(), 2);
  EXPECT_THAT(spec.sweep().parameters(1).values(), ElementsAre("8", "16"));
  EXPECT_TRUE(spec.sweep().parameters(0).log_scale());
  EXPECT_EQ(spec.sweep().num_samples(), 20);
}

TEST(JobFileTest, WrongWishesAreNamedWithTheirLine) {
  const std::string head = "name: a\nproject: u/p\ncommand: [x]\n";
  const std::pair<std::string, std::string> cases[] = {
      {head + "tasks: {min: 3, max: 2}\n", "nearest valid value is 2"},
      {head + "tasks: {min: 3}\n", "max"},
      {head + "topology: {level: rak}\n", "did you mean \"rack\"?"},
      {head + "preemption: {warning_signal: SIGFOO}\n", "SIGUSR1"},
      {head + "depends_on: [afterall:job-a]\n", "neither afterok nor afterany"},
      {head + "priority_class: hgh\n", "did you mean \"high\"?"},
  };
  for (const auto& [text, hint] : cases) {
    EXPECT_THAT(ParseJobFile(text, "job.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(hint)))
        << text;
  }
}

TEST(JobFileTest, EveryExampleIsAJobFile) {
  int num_examples = 0;
  for (const auto& file : std::filesystem::directory_iterator(
           testing::DataDir().parent_path().parent_path() / "examples")) {
    if (file.path().extension() != ".yaml") continue;
    ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(file.path()));
    if (absl::StrContains(text, "\nqueues:")) continue;
    if (absl::StrContains(text, "oneai endpoint deploy")) continue;
    EXPECT_OK(ParseJobFile(text, file.path().string()));
    ++num_examples;
  }
  EXPECT_GE(num_examples, 9);
}

}  // namespace
}  // namespace oneai::cli
