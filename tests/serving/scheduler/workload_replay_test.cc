// The planner and the pool under recorded and random workloads; Replay itself checks the promises
// at every step.
#include "serving/scheduler/workload_replay.h"

#include <fstream>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

std::vector<RecordedRequest> Read(const std::filesystem::path& file, int64_t num_max = 1 << 20) {
  absl::StatusOr<std::vector<RecordedRequest>> requests = ReadWorkload(file, num_max);
  EXPECT_OK(requests);
  return *std::move(requests);
}

std::filesystem::path Trace(const char* name) { return testing::DataDir() / "traces" / name; }

TEST(WorkloadTest, ReadsBothKinds) {
  const std::vector<RecordedRequest> azure = Read(Trace("azure_conversation_200.csv"));
  ASSERT_EQ(azure.size(), 200u);
  EXPECT_EQ(azure[0].num_prompt, 374);
  EXPECT_EQ(azure[1].num_output, 109);
  EXPECT_NEAR(azure[1].arrival_s, 4.314579, 1e-6);
  const std::vector<RecordedRequest> mooncake = Read(Trace("mooncake_conversation_150.jsonl"), 2);
  ASSERT_EQ(mooncake.size(), 2u);
  EXPECT_EQ(mooncake[1].num_prompt, 7322);
  EXPECT_EQ(mooncake[1].block_ids.size(), 15u);
}

TEST(WorkloadTest, BadLinesAreNamed) {
  const std::filesystem::path folder = ::testing::TempDir();
  const auto expect = [&](const char* name, const char* text, const char* message) {
    std::ofstream(folder / name) << text;
    EXPECT_THAT(ReadWorkload(folder / name, 100),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6,1,x\n", "line 2");
  expect("b.csv", "TIMESTAMP\n", "no requests");
  expect("c.jsonl", "{\"timestamp\":0,\"input_length\":-1,\"output_length\":5}\n", "line 1");
  expect("d.jsonl", "[]\n", "line 1");
  EXPECT_THAT(ReadWorkload(folder / "none.csv", 1),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.csv")));
}

TEST(WorkloadTest, PromptsShareWhatTheIdsShare) {
  RecordedRequest a, b;
  a.num_prompt = b.num_prompt = 1400;
  a.block_ids = {1, 2, 3};
  b.block_ids = {1, 2, 4};
  const std::vector<int32_t> x = PromptOf(a, 1000, 0.5), y = PromptOf(b, 1000, 0.5);
  ASSERT_EQ(x.size(), 700u);
  EXPECT_TRUE(std::equal(x.begin(), x.begin() + 512, y.begin()));
  EXPECT_FALSE(std::equal(x.begin() + 512, x.end(), y.begin() + 512));
}

TEST(ReplayTest, AzureConversations) {
  const std::vector<RecordedRequest> requests = Read(Trace("azure_conversation_200.csv"));
  ASSERT_OK_AND_ASSIGN(const ReplayReport report, Replay(requests, ReplayOptions()));
  EXPECT_EQ(report.num_requests, 200);
  EXPECT_EQ(report.block_hit_share, 0);  // the trace does not say who shares what
  EXPECT_GT(report.goodput_per_s, 0);
  EXPECT_LT(report.ttft_p50_s, 1);
}

TEST(ReplayTest, SmallPoolsPreemptAndFinishEverything) {
  const std::vector<RecordedRequest> requests = Read(Trace("azure_conversation_200.csv"));
  ReplayOptions options;
  options.num_blocks = 320;  // little more than the longest request
  options.cost.decode_token_s = 2e-3;
  ASSERT_OK_AND_ASSIGN(const ReplayReport report, Replay(requests, options));
  EXPECT_EQ(report.num_requests + report.num_too_long, 200);
  EXPECT_GT(report.num_preemptions, 0);
}

// Hits that an unbounded cache would have on these requests, computed apart from the pool.
double Ceiling(const std::vector<RecordedRequest>& requests) {
  std::set<uint64_t> known;
  int64_t num_blocks = 0, num_hits = 0;
  for (const RecordedRequest& r : requests) {
    bool found = true;
    for (uint64_t id : r.block_ids) {
      found = found && known.contains(id);
      num_hits += found;
      ++num_blocks;
    }
    known.insert(r.block_ids.begin(), r.block_ids.end());
  }
  return static_cast<double>(num_hits) / static_cast<double>(num_blocks);
}

TEST(ReplayTest, MooncakePrefixesAreFoundWhenMemoryAllows) {
  const std::vector<RecordedRequest> requests = Read(Trace("mooncake_conversation_150.jsonl"));
  ReplayOptions options;
  options.block_tokens = kRecordedBlockTokens;
  options.num_blocks = 8000;
  options.limits = {8192, 64};
  ASSERT_OK_AND_ASSIGN(const ReplayReport report, Replay(requests, options));
  EXPECT_EQ(report.num_requests, 150);
  // Partial blocks are never found, and of requests that come together each computes its own.
  EXPECT_LE(report.block_hit_share, Ceiling(requests));
  EXPECT_GT(report.block_hit_share, Ceiling(requests) - 0.05);
  options.prefix_cache = false;
  ASSERT_OK_AND_ASSIGN(const ReplayReport without, Replay(requests, options));
  EXPECT_EQ(without.block_hit_share, 0);
  EXPECT_GT(without.ttft_p50_s, report.ttft_p50_s);
}

// A hybrid model finds less: only where a state was kept. What it keeps at first are the ends of
// prompts; where they part it learns from the second that comes by.
TEST(ReplayTest, StatesForFewPlacesFindMostOfThePrefixes) {
  const std::vector<RecordedRequest> requests = Read(Trace("mooncake_conversation_150.jsonl"));
  ReplayOptions options;
  options.block_tokens = kRecordedBlockTokens;
  options.num_blocks = 8000;
  options.limits = {8192, 64};
  options.state_interval_tokens = int64_t{1} << 40;
  ASSERT_OK_AND_ASSIGN(const ReplayReport all, Replay(requests, options));
  options.num_states = 64 + 200;
  ASSERT_OK_AND_ASSIGN(const ReplayReport sparse, Replay(requests, options));
  options.state_interval_tokens = 2 * kRecordedBlockTokens;
  options.num_states = 64 + 4000;
  ASSERT_OK_AND_ASSIGN(const ReplayReport dense, Replay(requests, options));
  EXPECT_GT(sparse.block_hit_share, all.block_hit_share / 2);
  EXPECT_GE(dense.block_hit_share, sparse.block_hit_share);
  EXPECT_LE(dense.block_hit_share, all.block_hit_share);
  RecordProperty(
      "hit share of blocks, of sparse and of dense states",
      absl::StrCat(all.block_hit_share, " ", sparse.block_hit_share, " ", dense.block_hit_share));
}

TEST(ReplayTest, RightGuessesAreSteps) {
  const std::vector<RecordedRequest> requests = Read(Trace("azure_conversation_200.csv"));
  ReplayOptions options;
  ASSERT_OK_AND_ASSIGN(const ReplayReport plain, Replay(requests, options));
  options.drafts_max = 3;
  options.num_states = 64 + 3 * 64;
  ASSERT_OK_AND_ASSIGN(const ReplayReport guessed, Replay(requests, options));
  EXPECT_EQ(guessed.num_requests, plain.num_requests);
  EXPECT_EQ(plain.tokens_per_decode, 1);
  EXPECT_GT(guessed.tokens_per_decode, 2);  // 1 + 0.7 + 0.49 + 0.34 where there is room
  options.num_states = 64;                  // all that the running sequences need
  ASSERT_OK_AND_ASSIGN(const ReplayReport cramped, Replay(requests, options));
  EXPECT_EQ(cramped.num_requests, plain.num_requests);
}

TEST(ReplayTest, TheWholeMooncakeTrace) {
  const std::optional<std::filesystem::path> shared = testing::SharedDir();
  if (!shared.has_value()) GTEST_SKIP() << "the full traces are not on this machine";
  const std::vector<RecordedRequest> requests =
      Read(*shared / "traces" / "mooncake" / "conversation_trace.jsonl");
  EXPECT_NEAR(Ceiling(requests), 0.3664, 0.0001);
  ReplayOptions options;
  options.block_tokens = kRecordedBlockTokens;
  options.num_blocks = 200'000;  // all of it
  options.limits = {16384, 256};
  options.cost = {0.005, 1e-6, 0, 1e-5, 0};  // fast enough that nobody queues
  ASSERT_OK_AND_ASSIGN(const ReplayReport report, Replay(requests, options));
  EXPECT_EQ(report.num_requests, 12031);
  EXPECT_GT(report.block_hit_share, 0.33);
  EXPECT_LE(report.block_hit_share, 0.3664);
}

// Random tenants, priorities, lengths, shared beginnings, pools and bounds.
TEST(ReplayTest, RandomWorkloadsKeepEveryPromise) {
  int64_t num_preemptions = 0;
  double hits = 0, hits_of_hybrids = 0, tokens_per_decode = 0;
  for (uint32_t seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto draw = [&](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    ReplayOptions options;
    options.block_tokens = int64_t{16} << draw(0, 5);
    options.num_blocks = draw(4, 20) * kRecordedBlockTokens / options.block_tokens;
    options.limits.max_running_sequences = draw(1, 12);
    options.limits.max_batch_tokens = options.limits.max_running_sequences + draw(0, 2000);
    options.limits.starvation_bound = absl::Milliseconds(draw(1, 3000));
    options.prefix_cache = draw(0, 4) != 0;
    if (seed % 2 == 1) {  // a model with recurrent state, from just enough of it to plenty
      options.num_states = options.limits.max_running_sequences + draw(0, 40);
      options.state_interval_tokens = options.block_tokens * draw(1, 40);
    }
    if (seed % 3 == 0) options.drafts_max = draw(1, 6);
    std::vector<RecordedRequest> requests(draw(5, 60));
    double time = 0;
    for (RecordedRequest& r : requests) {
      r.arrival_s = time += static_cast<double>(draw(0, 40)) / 1000;
      r.num_prompt = draw(1, 3 * kRecordedBlockTokens);
      r.num_output = draw(1, 400);
      uint64_t name = 1;
      for (int64_t i = 0; i <= r.num_prompt / kRecordedBlockTokens; ++i) {
        r.block_ids.push_back(name = name * 3 + static_cast<uint64_t>(draw(0, 1)));
      }
      r.tenant = absl::StrCat("tenant", draw(0, 3));
      r.priority = static_cast<int32_t>(draw(-2, 2));
    }
    ASSERT_OK_AND_ASSIGN(const ReplayReport report, Replay(requests, options));
    EXPECT_EQ(report.num_requests + report.num_too_long, static_cast<int64_t>(requests.size()));
    num_preemptions += report.num_preemptions;
    (options.num_states > 0 ? hits_of_hybrids : hits) += report.block_hit_share;
    tokens_per_decode = std::max(tokens_per_decode, report.tokens_per_decode);
  }
  EXPECT_GT(num_preemptions, 100);
  EXPECT_GT(hits, 5);
  EXPECT_GT(hits_of_hybrids, 1);
  EXPECT_GT(tokens_per_decode, 2.5);
}

// A tenant with one request of low priority among a flood of its own more urgent ones, and of
// others: it waits for the bound, and then for nobody who came later.
TEST(ReplayTest, NobodyWaitsMuchLongerThanTheBound) {
  std::vector<RecordedRequest> requests(2000);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].arrival_s = static_cast<double>(i) * 0.01;
    requests[i].num_prompt = 100;
    requests[i].num_output = 20;
    requests[i].tenant = i % 2 == 0 ? "a" : "b";
    requests[i].priority = i % 100 == 50 ? 0 : 5;
  }
  ReplayOptions options;
  options.limits = {256, 8};
  ASSERT_OK_AND_ASSIGN(const ReplayReport endless, Replay(requests, options));
  options.limits.starvation_bound = absl::Seconds(1);
  ASSERT_OK_AND_ASSIGN(const ReplayReport bounded, Replay(requests, options));
  EXPECT_GT(endless.wait_s_max, 10);
  EXPECT_LT(bounded.wait_s_max, endless.wait_s_max);
}

}  // namespace
}  // namespace oneai::serving
