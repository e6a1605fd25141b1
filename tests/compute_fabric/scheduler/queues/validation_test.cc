#include "compute_fabric/scheduler/queues/validation.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::IsOk;
using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kH100[] = "nvidia-h100-80g";

QueueSpec Queue(const std::string& path, int64_t devices) {
  QueueSpec spec;
  spec.path = path;
  spec.nominal[kH100] = devices * 1000;
  return spec;
}

template <typename... Words>
void ExpectRefused(const std::vector<QueueSpec>& specs, const Words&... words) {
  EXPECT_THAT(ValidateQueues(specs),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr(words)...)));
}

TEST(ValidateQueuesTest, TakesATreeThatAddsUp) {
  QueueSpec root = Queue("", 96);
  QueueSpec retail = Queue("retail", 64);
  retail.limit[kH100] = 80'000;
  retail.lending_limit[kH100] = 64'000;
  retail.borrowing_limit[kH100] = 16'000;
  QueueSpec sandbox = Queue("retail/sandbox", 4);
  sandbox.sandbox = true;
  QueueSpec frontier = Queue("frontier", 32);
  frontier.reserve = true;
  EXPECT_THAT(ValidateQueues({root, retail, sandbox, Queue("retail/nlp", 60), frontier}), IsOk());
  EXPECT_THAT(ValidateQueues({}), IsOk());
}

TEST(ValidateQueuesTest, ChildrenAboveTheirParentNameBothWaysOut) {
  ExpectRefused({Queue("retail", 64), Queue("retail/nlp", 48), Queue("retail/vision", 32)},
                "queue retail", "add up to 80 nvidia-h100-80g", "nominal of 64 nvidia-h100-80g",
                "set its nominal to 80 nvidia-h100-80g", "or retail/nlp to 32 nvidia-h100-80g");
}

TEST(ValidateQueuesTest, CountsThroughQueuesWithoutNominal) {
  // "retail" is not written, so it is entitled to what its projects are.
  ExpectRefused({Queue("", 64), Queue("retail/nlp", 48), Queue("finance", 32)}, "the root queue",
                "add up to 80 nvidia-h100-80g", "or retail to 32 nvidia-h100-80g");
}

TEST(ValidateQueuesTest, ChildOfAResourceTheParentDoesNotHave) {
  QueueSpec child = Queue("retail/nlp", 1);
  child.nominal["hanguang-800"] = 2000;
  ExpectRefused({Queue("retail", 64), child}, "queue retail", "add up to 2 hanguang-800",
                "nominal of 0 hanguang-800");
}

TEST(ValidateQueuesTest, ChildrenAboveALimitWithoutNominal) {
  QueueSpec retail;
  retail.path = "retail";
  retail.limit[kH100] = 8000;
  ExpectRefused({retail, Queue("retail/nlp", 16)}, "queue retail", "above its limit of 8");
}

TEST(ValidateQueuesTest, LimitBelowNominal) {
  QueueSpec spec = Queue("retail", 64);
  spec.limit[kH100] = 32'000;
  ExpectRefused({spec}, "queue retail", "limit of 32 nvidia-h100-80g", "nominal 64",
                "nearest valid: 64 nvidia-h100-80g");
}

TEST(ValidateQueuesTest, LendingAboveNominal) {
  QueueSpec spec = Queue("retail", 64);
  spec.lending_limit[kH100] = 65'000;
  ExpectRefused({spec}, "lending_limit of 65", "nearest valid: 64 nvidia-h100-80g");
  QueueSpec other = Queue("retail", 64);
  other.lending_limit["hanguang-800"] = 1;
  ExpectRefused({other}, "lending_limit", "hanguang-800", "nearest valid: 0 hanguang-800");
}

TEST(ValidateQueuesTest, NegativeAndOverflowingAmounts) {
  QueueSpec negative = Queue("retail", 1);
  negative.borrowing_limit[kH100] = -1;
  ExpectRefused({negative}, "queue retail", "borrowing_limit of nvidia-h100-80g is -1",
                "nearest valid: 0");
  QueueSpec huge = Queue("retail", 1);
  huge.limit[kH100] = std::numeric_limits<int64_t>::max();
  ExpectRefused({huge}, "limit of nvidia-h100-80g", "nearest valid: 1000000000000000000");
}

TEST(ValidateQueuesTest, SumsDoNotWrap) {
  std::vector<QueueSpec> specs = {Queue("", 1)};
  for (int i = 0; i < 20; ++i) {
    specs.push_back(Queue(absl::StrCat("unit-", i), kAmountMax / 1000));
  }
  ExpectRefused(specs, "the root queue", "above its nominal of 1 nvidia-h100-80g");
}

TEST(ValidateQueuesTest, Weights) {
  for (const double weight : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    QueueSpec spec = Queue("retail", 1);
    spec.weight = weight;
    ExpectRefused({spec}, "queue retail", "weight", "nearest valid");
  }
}

TEST(ValidateQueuesTest, Paths) {
  ExpectRefused({Queue("retail//nlp", 1)}, "\"retail//nlp\"", "nearest: \"retail/nlp\"");
  ExpectRefused({Queue("/retail/", 1)}, "nearest: \"retail\"");
  ExpectRefused({Queue("retail/big models", 1)}, "nearest: \"retail/big-models\"");
  ExpectRefused({Queue(std::string(300, 'a'), 1)}, "at most 253 characters");
  ExpectRefused({Queue("a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", 1)}, "17 levels deep, at most 16");
  ExpectRefused({Queue("retail", 1), Queue("retail", 2)}, "queue retail: written twice");
}

TEST(ValidateQueuesTest, SettingsWithoutEffectAreRefused) {
  QueueSpec no_nominal;
  no_nominal.path = "retail";
  no_nominal.borrowing_limit[kH100] = 1000;
  ExpectRefused({no_nominal}, "borrowing_limit needs a nominal");
  QueueSpec sandbox;
  sandbox.path = "retail/sandbox";
  sandbox.sandbox = true;
  ExpectRefused({sandbox}, "sandbox needs a nominal");
  QueueSpec root = Queue("", 8);
  root.lending_limit[kH100] = 1000;
  ExpectRefused({root}, "the root queue", "have no effect");
  QueueSpec reserved_root = Queue("", 8);
  reserved_root.reserve = true;
  ExpectRefused({reserved_root}, "reserve belongs to a queue below it");
}

TEST(ValidateQueuesTest, ReserveAndSandboxSayWhatTheyLend) {
  QueueSpec both = Queue("a", 8);
  both.reserve = both.sandbox = true;
  ExpectRefused({both}, "choose one");
  QueueSpec reserve = Queue("a", 8);
  reserve.reserve = true;
  reserve.lending_limit[kH100] = 4000;
  ExpectRefused({reserve}, "a reserve lends all", "nearest valid: 8");
  QueueSpec sandbox = Queue("a", 8);
  sandbox.sandbox = true;
  sandbox.lending_limit[kH100] = 4000;
  ExpectRefused({sandbox}, "a sandbox lends nothing", "nearest valid: 0");
}

}  // namespace
}  // namespace oneai::fabric
