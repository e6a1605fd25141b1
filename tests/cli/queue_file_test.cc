#include "cli/queue_file.h"

#include "base/files/files.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::cli {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

TEST(QueueFileTest, SaysEverythingAboutAQueue) {
  constexpr char kText[] = R"(queues:
  - queue: /
    nominal: {nvidia-h100-80g: 96}
  - queue: retail/nlp
    nominal: {nvidia-h100-80g: 0.5, cpus: 2.5, memory: 4GiB}
    borrowing_limit: {nvidia-h100-80g: 16}
    lending_limit: {nvidia-h100-80g: 0}
    limit: {nvidia-h100-80g: 80}
    weight: 2
    reserve: true
    sandbox: false
)";
  ASSERT_OK_AND_ASSIGN(const fabric::v1::SetQueuesRequest request,
                       ParseQueueFile(kText, "queues.yaml"));
  ASSERT_EQ(request.queues_size(), 2);
  EXPECT_EQ(request.queues(0).project(), "");
  EXPECT_EQ(request.queues(0).nominal().at("nvidia-h100-80g"), 96'000);
  const fabric::v1::Queue& queue = request.queues(1);
  EXPECT_EQ(queue.project(), "retail/nlp");
  EXPECT_EQ(queue.nominal().at("nvidia-h100-80g"), 500);
  EXPECT_EQ(queue.nominal().at("cpu"), 2500);
  EXPECT_EQ(queue.nominal().at("memory"), int64_t{4} << 30);
  EXPECT_EQ(queue.borrowing_limit().at("nvidia-h100-80g"), 16'000);
  EXPECT_EQ(queue.lending_limit().at("nvidia-h100-80g"), 0);
  EXPECT_EQ(queue.limit().at("nvidia-h100-80g"), 80'000);
  EXPECT_EQ(queue.weight(), 2);
  EXPECT_TRUE(queue.reserve());
  EXPECT_FALSE(queue.sandbox());
}

TEST(QueueFileTest, WhatIsLeftOutHasItsDefault) {
  ASSERT_OK_AND_ASSIGN(const fabric::v1::SetQueuesRequest request,
                       ParseQueueFile("queues: [{queue: retail}]", "queues.yaml"));
  EXPECT_EQ(request.queues(0).nominal_size(), 0);
  EXPECT_EQ(request.queues(0).weight(), 1);
}

TEST(QueueFileTest, ErrorsNameTheFileTheLineAndTheWayOut) {
  const std::string head = "queues:\n  - queue: retail\n    ";
  const std::pair<std::string, std::string> cases[] = {
      {"", "queues.yaml: \"queues\" is missing; list at least one queue"},
      {"queues: []\n", "list at least one queue"},
      {"queue: retail\n", "did you mean \"queues\"?"},
      {"queues:\n  - nominal: {gpu: 1}\n", "\"queues[0].queue\" is missing"},
      {head + "nominl: {gpu: 1}\n",
       "queues.yaml:3: unknown key \"nominl\"; did you mean \"nominal\"?"},
      {head + "nominal: {gpu: -1}\n", "gpu: -1 is below 0; nearest valid: 0"},
      {head + "nominal: {gpu: many}\n", "gpu: \"many\" is no number of devices"},
      {head + "nominal: {gpu: 0.0005}\n", "nearest valid: 0.001"},
      {head + "nominal: {gpu: 1e30}\n", "nearest valid: 1e+12"},
      {head + "nominal: {cpu: 4}\n", "cores are \"cpus\""},
      {head + "nominal: {memory: lots}\n", "such as 512GiB"},
      {head + "weight: 0\n", "queues.yaml:3: \"queues[0].weight\""},
      {head + "reserve: perhaps\n", "queues.yaml:3: \"queues[0].reserve\""},
      {head + "limit: 8\n", "queues.yaml:3: \"queues[0].limit\""},
      {"queues: [{queue: a}, {queue: b}, {queue: a}]\n", "\"a\" is listed twice"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_THAT(ParseQueueFile(text, "queues.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(error)))
        << text;
  }
}

TEST(QueueFileTest, TheExampleParses) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReadFile(testing::DataDir() / "../../examples/queues.yaml"));
  ASSERT_OK_AND_ASSIGN(const fabric::v1::SetQueuesRequest request,
                       ParseQueueFile(text, "examples/queues.yaml"));
  EXPECT_EQ(request.queues_size(), 7);
}

}  // namespace
}  // namespace oneai::cli
