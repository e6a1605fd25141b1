#include "serving/scheduler/batch_plan.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "serving/scheduler/block_pool.h"
#include "serving/scheduler/tenant_ledger.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

SequenceView Running(int64_t id, int64_t num_tokens, int64_t num_computed,
                     int64_t block_tokens = 4) {
  SequenceView s;
  s.id = SequenceId{id};
  s.arrival = id;
  s.num_tokens = num_tokens;
  s.num_computed = num_computed;
  s.num_blocks = BlocksFor(num_computed, block_tokens);
  return s;
}

SequenceView Waiting(int64_t id, int64_t num_tokens) { return Running(id, num_tokens, 0); }

SchedulerView View(int64_t num_free_blocks) {
  SchedulerView view;
  view.num_free_blocks = num_free_blocks;
  view.block_tokens = 4;
  view.tenant_service = {0, 0};
  view.now = absl::UnixEpoch();
  return view;
}

std::map<int64_t, int64_t> Chunks(const BatchPlan& plan) {
  std::map<int64_t, int64_t> chunks;
  for (const PlannedChunk& c : plan.chunks) chunks[static_cast<int64_t>(c.id)] = c.num_tokens;
  return chunks;
}

using Ids = std::vector<SequenceId>;

TEST(PlanBatchTest, DecodesComeBeforePromptChunks) {
  SchedulerView view = View(100);
  view.running = {Running(0, 100, 8), Running(1, 9, 8), Running(2, 5, 4)};
  const BatchPlan plan = PlanBatch(view, {10, 8});
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{0, 8}, {1, 1}, {2, 1}}));
}

TEST(PlanBatchTest, PromptsBesideADecodeGetTheirShareAndNoMore) {
  BatchLimits limits{32, 8};
  limits.max_prompt_tokens_beside_decodes = 6;
  SchedulerView view = View(100);
  view.running = {Running(0, 100, 8), Running(1, 9, 8), Running(2, 5, 4)};
  view.waiting = {Waiting(3, 50)};
  EXPECT_EQ(Chunks(PlanBatch(view, limits)), (std::map<int64_t, int64_t>{{0, 6}, {1, 1}, {2, 1}}));
  view.running[0].num_tokens = 12;  // its last four; the next prompt begins with what is left
  EXPECT_EQ(Chunks(PlanBatch(view, limits)),
            (std::map<int64_t, int64_t>{{0, 4}, {1, 1}, {2, 1}, {3, 2}}));
  view.running = {Running(0, 100, 8)};  // nobody decodes
  EXPECT_EQ(Chunks(PlanBatch(view, limits)), (std::map<int64_t, int64_t>{{0, 32}}));
}

TEST(PlanBatchTest, GuessesOfDecodesUseWhatPromptsMayNot) {
  BatchLimits limits{32, 8};
  limits.max_prompt_tokens_beside_decodes = 6;
  SchedulerView view = View(100);
  view.running = {Running(0, 100, 8), Running(1, 9, 8)};
  view.running[1].num_drafts_max = 4;
  const BatchPlan plan = PlanBatch(view, limits);
  ASSERT_EQ(plan.chunks.size(), 2u);
  EXPECT_EQ(plan.chunks[0].num_drafts, 4);
}

TEST(PlanBatchTest, LongPromptIsCutToTheBudget) {
  SchedulerView view = View(100);
  view.waiting = {Waiting(0, 100)};
  const BatchPlan plan = PlanBatch(view, {32, 8});
  EXPECT_EQ(plan.admitted, Ids{SequenceId{0}});
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{0, 32}}));
}

TEST(PlanBatchTest, YoungestGivesItsBlocksToTheOldest) {
  SchedulerView view = View(0);
  view.running = {Running(0, 9, 8), Running(1, 10, 9), Running(2, 10, 9)};
  const BatchPlan plan = PlanBatch(view, {16, 8});
  EXPECT_EQ(plan.preempted, Ids{SequenceId{2}});
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{0, 1}, {1, 1}}));
}

TEST(PlanBatchTest, TheYoungestWaitsWhenAllOthersAreOlder) {
  SchedulerView view = View(0);
  view.running = {Running(0, 10, 9), Running(1, 9, 8)};
  const BatchPlan plan = PlanBatch(view, {16, 8});
  EXPECT_TRUE(plan.preempted.empty());
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{0, 1}}));
}

TEST(PlanBatchTest, PausedSequenceGivesWayEvenIfOlder) {
  SchedulerView view = View(0);
  view.running = {Running(0, 9, 8), Running(1, 9, 8)};
  view.running[0].paused = true;
  const BatchPlan plan = PlanBatch(view, {16, 8});
  EXPECT_EQ(plan.preempted, Ids{SequenceId{0}});
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{1, 1}}));
}

TEST(PlanBatchTest, PausedSequenceDoesNotHoldTheLastPlace) {
  SchedulerView view = View(10);
  view.running = {Running(0, 9, 8)};
  view.running[0].paused = true;
  view.waiting = {Waiting(1, 4)};
  const BatchPlan plan = PlanBatch(view, {16, 1});
  EXPECT_EQ(plan.preempted, Ids{SequenceId{0}});
  EXPECT_EQ(plan.admitted, Ids{SequenceId{1}});
}

TEST(PlanBatchTest, NobodyOvertakesALargeRequest) {
  SchedulerView view = View(3);
  view.running = {Running(0, 5, 4)};
  view.waiting = {Waiting(1, 40), Waiting(2, 4)};
  const BatchPlan plan = PlanBatch(view, {64, 8});
  EXPECT_TRUE(plan.admitted.empty());
}

TEST(PlanBatchTest, LeastServedTenantIsNext) {
  SchedulerView view = View(100);
  view.tenant_service = {50, 10};
  view.waiting = {Waiting(0, 8), Waiting(1, 8)};
  view.waiting[1].tenant = 1;
  const BatchPlan plan = PlanBatch(view, {8, 8});
  EXPECT_EQ(plan.admitted, Ids{SequenceId{1}});
}

TEST(PlanBatchTest, PriorityOrdersOneTenantsRequests) {
  SchedulerView view = View(100);
  view.waiting = {Waiting(0, 8), Waiting(1, 8)};
  view.waiting[1].priority = 5;
  EXPECT_EQ(PlanBatch(view, {8, 8}).admitted, Ids{SequenceId{1}});
}

TEST(PlanBatchTest, PreemptedWorkComesBackFirst) {
  SchedulerView view = View(100);
  view.tenant_service = {50, 10};
  view.waiting = {Waiting(0, 8), Waiting(1, 8)};
  view.waiting[0].resumed = true;
  view.waiting[1].tenant = 1;
  EXPECT_EQ(PlanBatch(view, {8, 8}).admitted, Ids{SequenceId{0}});
}

TEST(PlanBatchTest, EarlierDeadlineGoesFirstAmongEquals) {
  SchedulerView view = View(100);
  view.waiting = {Waiting(0, 8), Waiting(1, 8)};
  view.waiting[1].deadline = view.now + absl::Seconds(5);
  EXPECT_EQ(PlanBatch(view, {8, 8}).admitted, Ids{SequenceId{1}});
}

TEST(PlanBatchTest, WhoWaitedForTheBoundGoesBeforeTenantAndPriority) {
  SchedulerView view = View(100);
  view.tenant_service = {50, 10};
  view.waiting = {Waiting(0, 8), Waiting(1, 8), Waiting(2, 8)};
  view.waiting[0].submitted = view.now - absl::Seconds(10);
  view.waiting[1].tenant = 1;
  view.waiting[1].priority = 9;
  view.waiting[2].submitted = view.now - absl::Seconds(9);
  EXPECT_EQ(PlanBatch(view, {8, 8, absl::Seconds(10)}).admitted, Ids{SequenceId{0}});
  EXPECT_EQ(PlanBatch(view, {8, 8, absl::Seconds(11)}).admitted, Ids{SequenceId{1}});
}

TEST(PlanBatchTest, CachedTokensAreNotComputed) {
  SchedulerView view = View(2);
  view.waiting = {Waiting(0, 20)};
  EXPECT_TRUE(PlanBatch(view, {64, 8}).admitted.empty());  // 5 blocks
  view.waiting[0].num_cached = 16;
  view.waiting[0].num_cached_held_blocks = 4;  // others hold them: only one more is needed
  EXPECT_EQ(Chunks(PlanBatch(view, {64, 8})), (std::map<int64_t, int64_t>{{0, 4}}));
  view.waiting[0].num_cached_held_blocks = 0;  // idle: taking them uses up free blocks
  EXPECT_TRUE(PlanBatch(view, {64, 8}).admitted.empty());
}

TEST(PlanBatchTest, PreemptionCountsOnlyBlocksOfItsOwn) {
  SchedulerView view = View(0);
  view.running = {Running(0, 9, 8), Running(1, 10, 9), Running(2, 10, 9)};
  view.running[2].num_shared_blocks = view.running[2].num_blocks;
  const BatchPlan plan = PlanBatch(view, {16, 8});
  EXPECT_EQ(plan.preempted, (Ids{SequenceId{2}, SequenceId{1}}));
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{0, 1}}));
}

TEST(PlanBatchTest, DraftsTakeOnlyWhatIsLeft) {
  SchedulerView view = View(1);
  view.running = {Running(0, 9, 8), Running(1, 6, 5)};
  view.running[0].num_blocks = 3;
  view.running[0].num_drafts_max = view.running[1].num_drafts_max = 5;
  const auto drafts = [&](int64_t budget) {
    std::vector<int64_t> counts;
    for (const PlannedChunk& c : PlanBatch(view, {budget, 2}).chunks)
      counts.push_back(c.num_drafts);
    return counts;
  };
  EXPECT_EQ(drafts(2), (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(drafts(6), (std::vector<int64_t>{4, 0}));
  EXPECT_EQ(drafts(64), (std::vector<int64_t>{5, 2}));  // the first took the free block
}

TEST(PlanBatchTest, GuessesNeedStatesToComeBackTo) {
  SchedulerView view = View(8);
  view.running = {Running(0, 9, 8), Running(1, 9, 8)};
  for (SequenceView& s : view.running) s.num_drafts_max = 4;
  view.waiting = {Waiting(2, 4)};
  const auto drafts = [&](int64_t num_states) {
    view.num_free_states = num_states;
    int64_t count = 0;
    for (const PlannedChunk& c : PlanBatch(view, {64, 8}).chunks) count += c.num_drafts;
    return count;
  };
  EXPECT_EQ(drafts(1), 0);  // the admitted one takes it
  EXPECT_EQ(drafts(4), 3);
  EXPECT_EQ(drafts(kNoStates), 8);
  view.num_free_states = 0;
  EXPECT_TRUE(PlanBatch(view, {64, 8}).admitted.empty());
  view.running[1].deadline = view.now;  // whose state is free then
  EXPECT_EQ(PlanBatch(view, {64, 8}).admitted.size(), 1u);
}

TEST(PlanBatchTest, ExpiredRequestsLeaveTheirBlocksToOthers) {
  SchedulerView view = View(0);
  view.running = {Running(0, 9, 8), Running(1, 9, 8)};
  view.running[0].deadline = view.now;
  view.waiting = {Waiting(2, 4)};
  view.waiting[0].deadline = view.now - absl::Seconds(1);
  const BatchPlan plan = PlanBatch(view, {16, 8});
  EXPECT_EQ(plan.expired, (Ids{SequenceId{0}, SequenceId{2}}));
  EXPECT_TRUE(plan.preempted.empty());
  EXPECT_EQ(Chunks(plan), (std::map<int64_t, int64_t>{{1, 1}}));
}

// Runs random workloads to their end with the pool and the ledger, checking every promise of the
// header at every step.
class Simulation {
 public:
  explicit Simulation(uint32_t seed) : random_(seed), pool_(Draw(8, 40), 4) {
    limits_.max_running_sequences = Draw(1, 8);
    limits_.max_batch_tokens = limits_.max_running_sequences + Draw(0, 30);
    num_left_ = Draw(5, 40);
  }

  void Run() {
    for (int64_t step = 0; num_left_ > 0 || !live_.empty(); ++step) {
      ASSERT_LT(step, 20000) << "stalled with " << live_.size() << " requests";
      Arrive();
      for (auto& [id, r] : live_) MaybePause(r);
      ASSERT_NO_FATAL_FAILURE(Step());
    }
    EXPECT_EQ(pool_.num_free(), pool_.num_blocks());
    EXPECT_EQ(num_resumed_, num_preempted_);
  }

  int64_t num_preempted() const { return num_preempted_; }

 private:
  struct Request {
    int64_t tenant, arrival, num_prompt, num_tokens, num_final, num_computed = 0;
    bool paused = false, resumed = false, running = false;
  };

  int64_t Draw(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  // A reader can only be behind when it has just been sent something.
  void MaybePause(Request& r) {
    const bool has_output = r.num_tokens > r.num_prompt && r.num_computed == r.num_tokens - 1;
    r.paused = r.paused ? Draw(0, 2) != 0 : has_output && Draw(0, 9) == 0;
  }

  void Arrive() {
    if (num_left_ == 0 || Draw(0, 2) != 0) return;
    --num_left_;
    const int64_t most = pool_.num_blocks() * pool_.block_tokens();
    const int64_t prompt = Draw(1, most - 1);
    const int64_t tenant = ledger_.Enter(std::to_string(Draw(0, 2)));
    const int64_t id = next_++;
    // The last output token is never computed, so the greatest length in the cache is one less than
    // num_final.
    live_[id] = {tenant, id, prompt, prompt, Draw(prompt + 1, most)};
  }

  SchedulerView MakeView() {
    SchedulerView view;
    view.num_free_blocks = pool_.num_free();
    view.block_tokens = pool_.block_tokens();
    view.tenant_service = ledger_.service();
    for (const auto& [id, r] : live_) {
      SequenceView s;
      s.id = SequenceId{id};
      s.tenant = r.tenant;
      s.arrival = r.arrival;
      s.paused = r.paused;
      s.resumed = r.resumed;
      s.num_tokens = r.num_tokens;
      s.num_computed = r.num_computed;
      s.num_blocks = static_cast<int64_t>(pool_.BlockTable(s.id).size());
      (r.running ? view.running : view.waiting).push_back(s);
    }
    return view;
  }

  void Step() {
    const BatchPlan plan = PlanBatch(MakeView(), limits_);
    ASSERT_NO_FATAL_FAILURE(ApplyQueueChanges(plan));
    int64_t num_tokens = 0;
    std::set<SequenceId> seen;
    const bool anyone =
        std::any_of(live_.begin(), live_.end(), [](const auto& r) { return !r.second.paused; });
    ASSERT_TRUE(!anyone || !plan.chunks.empty()) << "a request could run and nothing was planned";
    for (const PlannedChunk& chunk : plan.chunks) {
      ASSERT_TRUE(seen.insert(chunk.id).second);
      Request& r = live_.at(static_cast<int64_t>(chunk.id));
      ASSERT_TRUE(r.running && !r.paused);
      ASSERT_GE(chunk.num_tokens, 1);
      ASSERT_LE(r.num_computed + chunk.num_tokens, r.num_tokens);
      num_tokens += chunk.num_tokens;
      ASSERT_OK(pool_.Grow(chunk.id, r.num_computed + chunk.num_tokens));
      r.num_computed += chunk.num_tokens;
      if (r.num_computed < r.num_tokens) continue;
      ledger_.Charge(r.tenant, kOutputTokenCost);
      if (++r.num_tokens < r.num_final) continue;
      pool_.Release(chunk.id);
      ledger_.Leave(r.tenant);
      live_.erase(static_cast<int64_t>(chunk.id));
    }
    ASSERT_LE(num_tokens, limits_.max_batch_tokens);
    ASSERT_NO_FATAL_FAILURE(CheckBlocks());
  }

  void ApplyQueueChanges(const BatchPlan& plan) {
    ASSERT_TRUE(plan.expired.empty());
    for (SequenceId id : plan.preempted) {
      Request& r = live_.at(static_cast<int64_t>(id));
      ASSERT_TRUE(r.running);
      pool_.Release(id);
      r.running = false;
      r.resumed = true;
      r.num_computed = 0;
      ++num_preempted_;
    }
    for (SequenceId id : plan.admitted) {
      Request& r = live_.at(static_cast<int64_t>(id));
      ASSERT_FALSE(r.running);
      r.running = true;
      if (r.resumed) {
        ++num_resumed_;
      } else {
        ledger_.Charge(r.tenant, r.num_tokens * kPromptTokenCost);
      }
    }
    const int64_t num_running =
        std::count_if(live_.begin(), live_.end(), [](const auto& r) { return r.second.running; });
    ASSERT_LE(num_running, limits_.max_running_sequences);
  }

  // Every block is free or in exactly one table.
  void CheckBlocks() {
    std::set<BlockId> held;
    for (const auto& [id, r] : live_) {
      for (BlockId block : pool_.BlockTable(SequenceId{id})) ASSERT_TRUE(held.insert(block).second);
    }
    ASSERT_EQ(static_cast<int64_t>(held.size()) + pool_.num_free(), pool_.num_blocks());
  }

  std::mt19937 random_;
  BlockPool pool_;
  TenantLedger ledger_;
  BatchLimits limits_;
  std::map<int64_t, Request> live_;
  int64_t num_left_ = 0, next_ = 0, num_preempted_ = 0, num_resumed_ = 0;
};

TEST(PlanBatchTest, RandomWorkloadsFinishAndKeepEveryPromise) {
  int64_t num_preempted = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Simulation simulation(seed);
    ASSERT_NO_FATAL_FAILURE(simulation.Run());
    num_preempted += simulation.num_preempted();
  }
  EXPECT_GT(num_preempted, 100) << "the workloads are too light to prove anything";
}

// Two tenants, one with ten times the requests, of equal size: while both have work, service
// differs by a few requests only.
TEST(PlanBatchTest, TenantsWithWorkAreServedAlike) {
  SchedulerView view = View(1000);
  for (int64_t i = 0; i < 100; ++i) view.waiting.push_back(Waiting(i, 8));
  for (int64_t i = 100; i < 110; ++i) {
    view.waiting.push_back(Waiting(i, 8));
    view.waiting.back().tenant = 1;
  }
  const BatchPlan plan = PlanBatch(view, {160, 64});
  ASSERT_EQ(plan.admitted.size(), 20u);
  const int64_t num_second = std::count_if(plan.admitted.begin(), plan.admitted.end(),
                                           [](SequenceId id) { return id >= SequenceId{100}; });
  EXPECT_EQ(num_second, 10);
}

}  // namespace
}  // namespace oneai::serving
