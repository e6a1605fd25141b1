// docs/queues.md, step by step.
#include "compute_fabric/scheduler/queues/queue_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kH100[] = "nvidia-h100-80g";

Amounts Gpus(int64_t devices) { return {{kH100, devices * 1000}}; }

QueueSpec Queue(const std::string& path, int64_t devices) {
  QueueSpec spec;
  spec.path = path;
  spec.nominal = Gpus(devices);
  return spec;
}

TEST(WorkedExampleTest, GoesAsTheGuideSays) {
  std::vector<QueueSpec> specs = {Queue("frontier", 48),      Queue("retail", 48),
                                  Queue("retail/search", 30), Queue("retail/assistant", 14),
                                  Queue("retail/sandbox", 4), Queue("finance", 24)};
  specs[0].reserve = true;
  specs[1].limit = Gpus(96);
  specs[1].weight = 2;
  specs[4].sandbox = true;
  specs[5].lending_limit = Gpus(16);
  specs[5].borrowing_limit = Gpus(8);
  specs.push_back({.path = "research"});
  QueueTree tree;
  ASSERT_OK(tree.SetSpecs(specs));
  tree.SetCapacity(Gpus(128));

  // 1. Night.
  EXPECT_FALSE(tree.Admit("retail/search", Gpus(100)).admitted);
  ASSERT_TRUE(tree.Admit("retail/search", Gpus(96)).admitted);
  tree.Charge("retail/search", Gpus(96));
  EXPECT_FALSE(tree.Admit("research", Gpus(21)).admitted);
  ASSERT_TRUE(tree.Admit("research", Gpus(20)).admitted);
  tree.Charge("research", Gpus(20));

  // 2. finance takes 8 that it keeps and 16 back.
  EXPECT_TRUE(tree.Admit("finance", Gpus(8)).admitted);
  tree.Charge("finance", Gpus(8));
  EXPECT_FALSE(tree.Admit("finance", Gpus(16)).admitted);
  EXPECT_TRUE(tree.MayReclaim("finance", Gpus(16), "retail/search", Gpus(16)));
  EXPECT_TRUE(tree.MayReclaim("finance", Gpus(16), "research", Gpus(8)));
  EXPECT_FALSE(tree.TakesOwnReserve("finance", Gpus(16)));
  tree.Charge("retail/search", Gpus(16), -1);
  tree.Charge("finance", Gpus(16));

  // 3. frontier takes 48 back, at once.
  EXPECT_FALSE(tree.Admit("frontier", Gpus(48)).admitted);
  EXPECT_TRUE(tree.TakesOwnReserve("frontier", Gpus(48)));
  EXPECT_TRUE(tree.MayReclaim("frontier", Gpus(48), "research", Gpus(12)));
  tree.Charge("research", Gpus(12), -1);
  EXPECT_FALSE(tree.MayReclaim("frontier", Gpus(48), "research", Gpus(8)));
  EXPECT_TRUE(tree.MayReclaim("frontier", Gpus(48), "retail/search", Gpus(32)));
  tree.Charge("retail/search", Gpus(32), -1);
  EXPECT_FALSE(tree.Admit("frontier", Gpus(48)).admitted);  // the sandbox's 4 are not lent
  EXPECT_TRUE(tree.MayReclaim("frontier", Gpus(48), "retail/search", Gpus(4)));
  tree.Charge("retail/search", Gpus(4), -1);
  EXPECT_TRUE(tree.Admit("frontier", Gpus(48)).admitted);
  EXPECT_FALSE(tree.MayReclaim("frontier", Gpus(48), "retail/search", Gpus(4)));
  EXPECT_FALSE(tree.MayReclaim("frontier", Gpus(48), "finance", Gpus(8)));
  tree.Charge("frontier", Gpus(48));

  // 4. finance borrows at most 8.
  EXPECT_THAT(tree.Admit("finance", Gpus(16)).blockers,
              ElementsAre(HasSubstr("queue finance may borrow at most 8 nvidia-h100-80g above its "
                                    "nominal 24 nvidia-h100-80g"),
                          HasSubstr("in the fabric")));

  // 5. The experiment.
  EXPECT_TRUE(tree.Admit("retail/sandbox", Gpus(4)).admitted);
  tree.Charge("retail/sandbox", Gpus(4));

  // 6. When frontier's jobs have ended, the borrowers share.
  tree.Charge("frontier", Gpus(48), -1);
  EXPECT_TRUE(tree.GoesBefore("retail/assistant", "retail/search"));
  tree.Charge("retail/search", Gpus(8));  // retail 4 above, over weight 2; research 0 above
  tree.Charge("research", Gpus(8));
  EXPECT_TRUE(tree.GoesBefore("retail", "research"));
}

}  // namespace
}  // namespace oneai::fabric
