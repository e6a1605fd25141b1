// The prefix cache from a request's point of view.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/serving/engine/engine_fixture.h"

namespace oneai::serving {
namespace {

const char kLong[] = "a prompt of forty bytes, give or take a few";

TEST(EnginePrefixCacheTest, TheSecondOfTwoEqualPromptsIsFound) {
  FakeEngine engine;
  const GenerationEvent first = engine.Ask(TextRequest(kLong, 10));
  const int64_t num_computed = engine.runner().num_computed();
  const GenerationEvent second = engine.Ask(TextRequest(kLong, 10));
  EXPECT_EQ(first.usage.num_cached_prompt_tokens, 0);
  EXPECT_EQ(second.usage.num_cached_prompt_tokens, 40);  // of 43, in blocks of 4
  EXPECT_EQ(second.token_ids, first.token_ids);
  EXPECT_EQ(engine.runner().num_computed() - num_computed, 3 + 9);
  const EngineStats stats = engine->stats();
  EXPECT_TRUE(stats.has_prefix_cache);
  EXPECT_EQ(stats.num_prefix_queries, 2 * 43);
  EXPECT_EQ(stats.num_prefix_hits, 40);
  EXPECT_EQ(stats.num_free_blocks, stats.num_blocks);
}

TEST(EnginePrefixCacheTest, TheLastPromptTokenIsAlwaysComputed) {
  FakeEngine engine;
  const std::string prompt(16, 'x');
  const GenerationEvent first = engine.Ask(TextRequest(prompt, 4));
  const GenerationEvent second = engine.Ask(TextRequest(prompt, 4));
  EXPECT_EQ(second.usage.num_cached_prompt_tokens, 12);
  EXPECT_EQ(second.token_ids, first.token_ids);
}

TEST(EnginePrefixCacheTest, TheNextTurnFindsPromptAndAnswer) {
  FakeEngine engine;
  const GenerationEvent first = engine.Ask(TextRequest("hello", 20));
  GenerationRequest next = TextRequest("hello" + first.text + " and then?", 5);
  EXPECT_EQ(engine.Ask(next).usage.num_cached_prompt_tokens, 24);
}

TEST(EnginePrefixCacheTest, TenantsSaltsAndAdaptersDoNotShare) {
  FakeEngine engine;
  ASSERT_OK(engine->LoadAdapter("a"));
  std::vector<GenerationRequest> requests(4, TextRequest(kLong, 3));
  requests[1].tenant = "other";
  requests[2].cache_salt = "salt";
  requests[3].adapter = 0;
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(engine.Ask(request).usage.num_cached_prompt_tokens, 0);
  }
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(engine.Ask(request).usage.num_cached_prompt_tokens, 40);
  }
}

TEST(EnginePrefixCacheTest, OffMeansOff) {
  EngineOptions options = SmallOptions();
  options.prefix_cache = false;
  FakeEngine engine(options);
  engine.Ask(TextRequest(kLong, 3));
  EXPECT_EQ(engine.Ask(TextRequest(kLong, 3)).usage.num_cached_prompt_tokens, 0);
  EXPECT_FALSE(engine->stats().has_prefix_cache);
  EXPECT_EQ(engine->stats().num_cached_blocks, 0);
}

class CacheFileTest : public ::testing::Test {
 protected:
  static FakeRunnerOptions SmallPool() {
    FakeRunnerOptions runner;
    runner.num_blocks = 16;
    return runner;
  }
  static EngineOptions WithFile(int64_t bytes_max) {
    EngineOptions options = SmallOptions();
    options.cache_folder = std::filesystem::temp_directory_path();
    options.cache_file_bytes_max = bytes_max;
    return options;
  }
  static std::string Prompt(int i) { return absl::StrCat(i, " ", kLong); }
};

TEST_F(CacheFileTest, EvictedBlocksComeBack) {
  FakeEngine engine(WithFile(1 << 20), SmallPool());
  std::vector<GenerationEvent> first;
  for (int i = 0; i < 6; ++i) first.push_back(engine.Ask(TextRequest(Prompt(i), 10)));
  for (int i = 0; i < 6; ++i) {
    const GenerationEvent again = engine.Ask(TextRequest(Prompt(i), 10));
    EXPECT_EQ(again.token_ids, first[i].token_ids);
    EXPECT_EQ(again.usage.num_cached_prompt_tokens, 44) << i;
  }
  EXPECT_GT(engine->stats().num_file_blocks, 16);
}

TEST_F(CacheFileTest, TheFileIsBounded) {
  FakeEngine engine(WithFile(20 * 4 * sizeof(int32_t)), SmallPool());
  for (int i = 0; i < 10; ++i) engine.Ask(TextRequest(Prompt(i), 10));
  EXPECT_EQ(engine->stats().num_file_blocks, 20);
  const GenerationEvent forgotten = engine.Ask(TextRequest(Prompt(0), 10));
  EXPECT_EQ(forgotten.usage.num_cached_prompt_tokens, 0);
}

TEST_F(CacheFileTest, NoSuchFolderIsRefused) {
  EngineOptions options = WithFile(1 << 20);
  options.cache_folder = "/nowhere/at/all";
  EXPECT_THAT(Engine::Create(options, std::make_unique<FakeRunner>(SmallPool()),
                             TokenTable{kNumByteTokens, {}, nullptr}, nullptr, Clock::Real()),
              testing::StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("/nowhere")));
}

}  // namespace
}  // namespace oneai::serving
