#include "compute_fabric/scheduler/order_queues.h"

#include <functional>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kGpu[] = "gpu";

Amounts Gpus(int64_t devices) { return {{kGpu, devices * 1000}}; }

class QueueOrderTest : public ::testing::Test {
 protected:
  QueueOrderTest() { state_.queues.SetCapacity(Gpus(100)); }

  void SetQueues(const std::vector<std::pair<std::string, int64_t>>& nominal) {
    std::vector<QueueSpec> specs;
    for (const auto& [path, devices] : nominal) {
      QueueSpec spec;
      spec.path = path;
      spec.nominal = Gpus(devices);
      specs.push_back(spec);
    }
    ASSERT_OK(state_.queues.SetSpecs(specs));
  }

  // `cpu` makes the class.
  void Wait(const std::string& id, const std::string& queue, int priority = 0, int64_t cpu = 1000) {
    JobView job;
    job.id = id;
    job.queue = queue;
    job.priority = priority;
    job.submitted = absl::UnixEpoch() + absl::Seconds(++num_jobs_);
    job.sequence = num_jobs_;
    job.shape.cpu_milli = cpu;
    job.shape.devices.push_back({kGpu, 1});
    job.ranks = {0};
    state_.jobs.Set(std::move(job));
  }

  // Every job is placed and takes one device.
  std::vector<std::string> PlaceAll() {
    std::vector<std::string> ids;
    QueueOrder order(&state_, &policy_);
    while (const JobView* job = order.Next()) {
      ids.push_back(job->id);
      state_.queues.Charge(job->queue, Gpus(1));
      JobView placed = *job;
      placed.ranks.clear();
      state_.jobs.Set(std::move(placed));  // as Plan does: the old view is gone
      order.Placed();
    }
    return ids;
  }

  std::vector<std::string> FailAll(QueueOrder::Failure failure) {
    std::vector<std::string> ids;
    QueueOrder order(&state_, &policy_);
    while (const JobView* job = order.Next()) {
      ids.push_back(job->id);
      order.Failed(failure);
    }
    return ids;
  }

  SchedulerState state_;
  Policy policy_;
  int num_jobs_ = 0;
};

TEST_F(QueueOrderTest, NobodyWaits) { EXPECT_THAT(PlaceAll(), IsEmpty()); }

TEST_F(QueueOrderTest, OneQueueIsServedByPriorityThenInLine) {
  Wait("a", "retail");
  Wait("b", "retail", 5);
  Wait("c", "retail", 5, 2000);
  Wait("d", "retail", 0, 2000);
  EXPECT_THAT(PlaceAll(), ElementsAre("b", "c", "a", "d"));
}

TEST_F(QueueOrderTest, QueuesNobodySetUpTakeTurns) {
  for (int i = 0; i < 4; ++i) Wait(absl::StrCat("a", i), "a");
  for (int i = 0; i < 2; ++i) Wait(absl::StrCat("b", i), "b");
  EXPECT_THAT(PlaceAll(), ElementsAre("a0", "b0", "a1", "b1", "a2", "a3"));
}

TEST_F(QueueOrderTest, EachFillsItsNominalInStepAndThenBorrowersShare) {
  SetQueues({{"a", 4}, {"b", 2}});
  for (int i = 0; i < 6; ++i) Wait(absl::StrCat("a", i), "a");
  for (int i = 0; i < 4; ++i) Wait(absl::StrCat("b", i), "b");
  EXPECT_THAT(PlaceAll(), ElementsAre("a0", "b0", "a1", "a2", "b1", "a3",  // their own
                                      "a4", "b2", "a5", "b3"));
}

TEST_F(QueueOrderTest, AUnitsProjectsShareWhatTheUnitGets) {
  for (int i = 0; i < 3; ++i) Wait(absl::StrCat("n", i), "retail/nlp");
  for (int i = 0; i < 3; ++i) Wait(absl::StrCat("v", i), "retail/vision");
  for (int i = 0; i < 3; ++i) Wait(absl::StrCat("f", i), "finance");
  EXPECT_THAT(PlaceAll(), ElementsAre("n0", "f0", "v0", "f1", "n1", "f2", "v1", "n2", "v2"));
}

TEST_F(QueueOrderTest, JobsDirectlyInAUnitAreOneOfItsProjects) {
  Wait("u0", "retail");
  Wait("u1", "retail");
  Wait("n0", "retail/nlp");
  EXPECT_THAT(PlaceAll(), ElementsAre("u0", "n0", "u1"));
}

TEST_F(QueueOrderTest, AmongEqualQueuesPriorityDecides) {
  Wait("a", "a");
  Wait("b", "b", 7);
  Wait("c", "c/deep/down", 9);
  EXPECT_THAT(PlaceAll(), ElementsAre("c", "b", "a"));
}

TEST_F(QueueOrderTest, AClassWithoutRoomIsSkippedEverywhere) {
  Wait("a0", "a", 0, 8000);
  Wait("a1", "a", 0, 8000);
  Wait("a2", "a", 0, 1000);
  Wait("b0", "b", 0, 8000);
  Wait("b1", "b", 0, 1000);
  std::vector<std::string> ids;
  QueueOrder order(&state_, &policy_);
  while (const JobView* job = order.Next()) {
    ids.push_back(job->id);
    if (job->shape.cpu_milli == 8000) {
      order.Failed(QueueOrder::Failure::kNoRoom);
    } else {
      order.Placed();
    }
  }
  EXPECT_THAT(ids, ElementsAre("a0", "a2", "b1"));
  EXPECT_EQ(order.num_considered(), 3);
}

TEST_F(QueueOrderTest, AUsedUpQuotaSkipsTheClassInItsQueue) {
  Wait("a0", "a", 0, 8000);
  Wait("a1", "a", 0, 8000);
  Wait("a2", "a", 0, 1000);
  Wait("b0", "b", 0, 8000);
  EXPECT_THAT(FailAll(QueueOrder::Failure::kQuota), ElementsAre("a0", "a2", "b0"));
}

TEST_F(QueueOrderTest, StrictOrderStopsTheQueue) {
  Wait("a0", "a");
  Wait("a1", "a");
  Wait("b0", "b");
  policy_.head_of_line = HeadOfLine::kBlock;
  EXPECT_THAT(FailAll(QueueOrder::Failure::kThisJobOnly), ElementsAre("a0", "b0"));
}

TEST_F(QueueOrderTest, LooksSoFarBehindTheFirstThatWaits) {
  for (int i = 0; i < 9; ++i) Wait(absl::StrCat("a", i), "a");
  Wait("b0", "b");
  policy_.backfill_depth = 3;
  EXPECT_THAT(FailAll(QueueOrder::Failure::kThisJobOnly),
              ElementsAre("a0", "a1", "a2", "a3", "b0"));
}

TEST_F(QueueOrderTest, SeesWhatOthersChangeBetweenJobs) {
  for (int i = 0; i < 2; ++i) Wait(absl::StrCat("a", i), "a");
  for (int i = 0; i < 2; ++i) Wait(absl::StrCat("b", i), "b");
  QueueOrder order(&state_, &policy_);
  EXPECT_EQ(order.Next()->id, "a0");
  order.Placed();
  state_.queues.Charge("b", Gpus(50));
  EXPECT_EQ(order.Next()->id, "a1");
}

TEST_F(QueueOrderTest, WhoIsToldToStopMeanwhileIsPassedOver) {
  for (int i = 0; i < 3; ++i) Wait(absl::StrCat("a", i), "a");
  QueueOrder order(&state_, &policy_);
  EXPECT_EQ(order.Next()->id, "a0");
  state_.jobs.MarkStopping("a1");
  order.Placed();
  EXPECT_EQ(order.Next()->id, "a2");
  EXPECT_EQ(order.Next(), nullptr);
}

TEST_F(QueueOrderTest, AnUnansweredJobIsPassedOver) {
  Wait("a0", "a");
  Wait("a1", "a");
  QueueOrder order(&state_, &policy_);
  EXPECT_EQ(order.Next()->id, "a0");
  EXPECT_EQ(order.Next()->id, "a1");
  EXPECT_EQ(order.Next(), nullptr);
  EXPECT_EQ(order.Next(), nullptr);
}

// The same order as the definition, by brute force: from the root down, among the children with
// jobs left the one that ranks first.
const JobView* NextByDefinition(const SchedulerState& state) {
  struct Child {
    QueueRank rank;
    std::string path;
    const JobView* head;
  };
  const auto head_below = [&](const std::string& path) {
    std::function<const JobView*(const std::string&)> find = [&](const std::string& at) {
      std::vector<Child> children;
      const auto add = [&](const QueueRank& rank, const std::string& name, const JobView* head) {
        if (head != nullptr) children.push_back({rank, name, head});
      };
      const JobView* own = nullptr;
      state.jobs.VisitWaiting(at, [&](const JobView& job) {
        own = &job;
        return false;
      });
      add(state.queues.RankOfOwnJobs(at), at, own);
      std::set<std::string> below;
      for (const std::string& queue : state.jobs.QueuesWithWaiting()) {
        if (queue == at || (!at.empty() && queue.rfind(at + "/", 0) != 0)) continue;
        const size_t from = at.empty() ? 0 : at.size() + 1;
        below.insert(queue.substr(0, queue.find('/', from)));
      }
      for (const std::string& child : below) add(state.queues.RankOf(child), child, find(child));
      const Child* best[2] = {nullptr, nullptr};  // by rest: within each the order is total
      for (const Child& child : children) {
        const Child*& b = best[child.rank.rest];
        if (b == nullptr || RanksBefore(child.rank, b->rank) ||
            (!RanksBefore(b->rank, child.rank) && WaitsBefore(*child.head, *b->head))) {
          b = &child;
        }
      }
      if (best[0] == nullptr || best[1] == nullptr) {
        const Child* const only = best[0] == nullptr ? best[1] : best[0];
        return only == nullptr ? nullptr : only->head;
      }
      if (RanksBefore(best[0]->rank, best[1]->rank)) return best[0]->head;
      if (RanksBefore(best[1]->rank, best[0]->rank)) return best[1]->head;
      return WaitsBefore(*best[0]->head, *best[1]->head) ? best[0]->head : best[1]->head;
    };
    return find(path);
  };
  return head_below("");
}

TEST_F(QueueOrderTest, AgreesWithTheDefinitionOnRandomTrees) {
  for (int seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % n); };
    state_ = SchedulerState();
    state_.queues.SetCapacity(Gpus(60));
    num_jobs_ = 0;
    std::vector<std::pair<std::string, int64_t>> nominal;
    std::vector<std::string> queues = {""};
    for (int u = 0; u < 4; ++u) {
      const std::string unit = absl::StrCat("u", u);
      queues.push_back(unit);
      if (below(2) == 0) nominal.emplace_back(unit, 10);
      for (int p = 0; p < below(4); ++p) {
        queues.push_back(absl::StrCat(unit, "/p", p));
        if (below(2) == 0) nominal.emplace_back(queues.back(), 1 + below(3));
      }
    }
    SetQueues(nominal);
    for (int j = 0; j < 60; ++j) {
      Wait(absl::StrCat("j", j), queues[below(queues.size())], below(3), 1000 * (1 + below(3)));
    }
    QueueOrder order(&state_, &policy_);
    for (;;) {
      const JobView* const expected = NextByDefinition(state_);
      const JobView* const job = order.Next();
      ASSERT_EQ(job == nullptr, expected == nullptr) << seed;
      if (job == nullptr) break;
      ASSERT_EQ(job->id, expected->id) << "seed " << seed;
      state_.queues.Charge(job->queue, Gpus(1 + below(2)));
      JobView placed = *job;
      placed.ranks.clear();
      state_.jobs.Set(std::move(placed));
      order.Placed();
    }
  }
}

}  // namespace
}  // namespace oneai::fabric
