#include "serving/grammar/grammar_matcher.h"

#include <thread>

#include "serving/grammar/grammar_cache.h"
#include "tests/serving/grammar/grammar_testing.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;

constexpr const char* kPerson =
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},)"
    R"("required":["name","age"]})";

TEST(TokenVocabularyTest, TrieHoldsEveryTokenOnce) {
  const TokenVocabulary& vocabulary = *TestVocabulary();
  std::vector<int> met(vocabulary.num_tokens());
  std::string path;
  for (const TokenVocabulary::Node& node : vocabulary.trie()) {
    path.resize(node.depth - 1);
    path.push_back(static_cast<char>(node.byte));
    for (int32_t t = node.token; t >= 0; t = vocabulary.NextSame(t)) {
      EXPECT_EQ(vocabulary.Bytes(t), path);
      ++met[t];
    }
  }
  for (int32_t t = 0; t < vocabulary.num_tokens(); ++t)
    EXPECT_EQ(met[t], vocabulary.Bytes(t).empty() ? 0 : 1);
  EXPECT_THAT(TokenVocabulary::FromBytes({"a"}, {1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("end token 1")));
}

TEST(GrammarMatcherTest, EndIsAllowedExactlyWhenTheTextMayEnd) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileRegex("ab?"));
  const int32_t end = grammar->vocabulary().end_ids()[0];
  GrammarMatcher matcher(grammar);
  EXPECT_FALSE(matcher.Accept(end));
  ASSERT_TRUE(matcher.Accept('a'));
  EXPECT_TRUE(matcher.CanEnd());
  ASSERT_TRUE(matcher.Accept(end));
  EXPECT_TRUE(matcher.finished());
  EXPECT_FALSE(matcher.Accept('b'));
  const std::vector<uint64_t> mask = MaskOf(matcher);
  EXPECT_TRUE(IsAllowed(mask, end));
  EXPECT_FALSE(IsAllowed(mask, 'b'));
  matcher.Rollback(1);
  EXPECT_FALSE(matcher.finished());
  EXPECT_TRUE(matcher.Accept('b'));
}

TEST(GrammarMatcherTest, RollbackRestoresEveryStep) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema("true"));
  std::mt19937_64 random(1);
  for (int round = 0; round < 20; ++round) {
    GrammarMatcher matcher(grammar);
    std::vector<std::vector<uint64_t>> masks;
    for (int i = 0; i < 60 && !matcher.finished(); ++i) {
      masks.push_back(MaskOf(matcher));
      std::vector<int32_t> allowed;
      for (int32_t t = 0; t < grammar->vocabulary().num_tokens(); ++t) {
        if (IsAllowed(masks.back(), t)) allowed.push_back(t);
      }
      ASSERT_TRUE(matcher.Accept(allowed[random() % allowed.size()]));
      if (random() % 4 == 0) {
        const int64_t back = 1 + random() % masks.size();
        matcher.Rollback(back);
        masks.resize(masks.size() - back);
        const std::vector<uint64_t> again = MaskOf(matcher);
        masks.push_back(again);
        ASSERT_EQ(matcher.num_accepted() + 1, static_cast<int64_t>(masks.size()));
        masks.pop_back();
      }
    }
    while (!masks.empty()) {
      matcher.Rollback(1);
      EXPECT_EQ(MaskOf(matcher), masks.back());
      masks.pop_back();
    }
  }
}

TEST(GrammarMatcherTest, RollbackReachesBackThroughALongText) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileRegex("(ab)*"));
  GrammarMatcher matcher(grammar);
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(Reads(matcher, "ab"));
  EXPECT_EQ(matcher.num_accepted(), 4000);
  matcher.Rollback(kRollbackTokensMax - 1);
  EXPECT_FALSE(matcher.CanEnd());
  EXPECT_TRUE(matcher.Accept('b'));
}

TEST(GrammarMatcherTest, CopiesAreIndependent) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(kPerson));
  GrammarMatcher one(grammar);
  ASSERT_TRUE(Reads(one, "{\"name\":\""));
  GrammarMatcher two = one;
  EXPECT_TRUE(Reads(one, "x\",\"age\":1}"));
  EXPECT_TRUE(Reads(two, "yy\",\"age\":22"));
  EXPECT_TRUE(one.CanEnd());
  EXPECT_FALSE(two.CanEnd());
}

TEST(GrammarMatcherTest, ForcedBytesAreWhatMustCome) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(kPerson, JsonWhitespace::kCompact));
  GrammarMatcher matcher(grammar);
  EXPECT_EQ(matcher.ForcedBytes(), "{\"name\":\"");
  ASSERT_TRUE(Reads(matcher, "{\"na"));
  EXPECT_EQ(matcher.ForcedBytes(), "me\":\"");
  ASSERT_TRUE(Reads(matcher, "me\":\"x"));
  EXPECT_EQ(matcher.ForcedBytes(), "");
  ASSERT_TRUE(matcher.Accept('"'));
  EXPECT_EQ(matcher.ForcedBytes(), ",\"age\":");
  ASSERT_TRUE(Reads(matcher, ",\"age\":7}"));
  EXPECT_EQ(matcher.ForcedBytes(), "");
}

TEST(GrammarMatcherTest, ForcedBytesNeverCutACharacter) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileRegex("日(本|東)"));
  GrammarMatcher matcher(grammar);
  // The next characters share their first byte.
  EXPECT_EQ(matcher.ForcedBytes(), "日");
  ASSERT_OK_AND_ASSIGN(const auto long_text, CompileRegex("(?:日){2000}"));
  const std::string forced = GrammarMatcher(long_text).ForcedBytes();
  EXPECT_GT(forced.size(), 4000u);
  EXPECT_EQ(forced.size() % 3, 0u);
}

TEST(GrammarMatcherTest, ForcedTokensAreAllowedAndLeaveTheLastToTheModel) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(kPerson, JsonWhitespace::kCompact));
  const TokenVocabulary& vocabulary = grammar->vocabulary();
  // Longest match first, as a stand-in for BPE.
  auto encode = [&](absl::string_view text) {
    std::vector<int32_t> tokens;
    while (!text.empty()) {
      int32_t best = static_cast<uint8_t>(text[0]);
      for (int32_t t = 0; t < vocabulary.num_tokens(); ++t) {
        const absl::string_view bytes = vocabulary.Bytes(t);
        if (bytes.size() > vocabulary.Bytes(best).size() && text.substr(0, bytes.size()) == bytes)
          best = t;
      }
      tokens.push_back(best);
      text.remove_prefix(vocabulary.Bytes(best).size());
    }
    return tokens;
  };
  GrammarMatcher matcher(grammar);
  std::string text;
  for (int32_t t : matcher.ForcedTokens(encode)) {
    ASSERT_TRUE(matcher.Accept(t));
    text.append(vocabulary.Bytes(t).data(), vocabulary.Bytes(t).size());
  }
  EXPECT_EQ(text, "{\"name");
  // A tokenizer that changes the text gives nothing.
  EXPECT_TRUE(matcher.ForcedTokens([](absl::string_view) {
                       return std::vector<int32_t>{'z', 'z'};
                     })
                  .empty());
}

TEST(GrammarMatcherTest, MasksBeyondTheMemoryBoundAreComputedAndNotKept) {
  GrammarLimits limits;
  limits.mask_bytes_max = 0;
  ASSERT_OK_AND_ASSIGN(const auto bounded, CompileKind(GrammarSpec::Kind::kJsonSchema, kPerson,
                                                       JsonWhitespace::kSingleSpace, limits));
  ASSERT_OK_AND_ASSIGN(const auto plain, CompileSchema(kPerson));
  GrammarMatcher a(bounded), b(plain);
  for (char c : absl::string_view("{\"name\": \"日本\", \"age\": 12}")) {
    EXPECT_EQ(MaskOf(a), MaskOf(b));
    ASSERT_TRUE(a.Accept(static_cast<uint8_t>(c)));
    ASSERT_TRUE(b.Accept(static_cast<uint8_t>(c)));
  }
  EXPECT_EQ(bounded->num_bytes() - bounded->automaton().num_bytes(), 0);
}

TEST(GrammarMatcherTest, ManyThreadsShareOneGrammar) {
  GrammarLimits limits;
  limits.warm_steps_max = 0;
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileKind(GrammarSpec::Kind::kJsonSchema, "true",
                                                       JsonWhitespace::kSingleSpace, limits));
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      std::mt19937_64 random(7);
      for (int i = 0; i < 30; ++i) text += RandomText(grammar, random, 15) + "\n";
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
}

TEST(GrammarMatcherTest, WhatStandsAroundIsForced) {
  const GrammarSpec spec = {
      .kind = GrammarSpec::Kind::kJsonObject, .before = "<tool_call>\n", .after = "\n</tool_call>"};
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompiledGrammar::Compile(spec, TestVocabulary(), {}));
  EXPECT_EQ(GrammarMatcher(grammar).ForcedBytes(), "<tool_call>\n{");
  EXPECT_TRUE(Matches(grammar, "<tool_call>\n{\"a\":1}\n</tool_call>"));
  EXPECT_FALSE(Matches(grammar, "{\"a\":1}"));
  EXPECT_FALSE(Matches(grammar, "<tool_call>\n{}"));
  GrammarMatcher matcher(grammar);
  for (char c : absl::string_view("<tool_call>\n{\"a\":{}}\n<")) {
    ExpectMaskIsExact(matcher);
    ASSERT_TRUE(matcher.Accept(static_cast<uint8_t>(c)));
  }
}

TEST(ChoiceTest, OneOfThemExactly) {
  const GrammarSpec spec = {.kind = GrammarSpec::Kind::kChoice,
                            .choices = {"positive", "pos", "日本", "a\"b"}};
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompiledGrammar::Compile(spec, TestVocabulary(), {}));
  for (const std::string& choice : spec.choices) EXPECT_TRUE(Matches(grammar, choice));
  EXPECT_FALSE(Matches(grammar, "posi"));
  EXPECT_FALSE(Matches(grammar, ""));
  EXPECT_THAT(CompiledGrammar::Compile({.kind = GrammarSpec::Kind::kChoice}, TestVocabulary(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("choices is empty")));
}

TEST(CompileTest, RefusesASourceThatIsTooLong) {
  EXPECT_THAT(CompileRegex(std::string(1 << 19, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bytes, of at most")));
}

TEST(GrammarCacheTest, KeepsTheLastUsed) {
  GrammarCache cache(TestVocabulary(), {}, 2);
  auto get = [&](const char* regex) {
    return *cache.Get({.kind = GrammarSpec::Kind::kRegex, .text = regex});
  };
  const auto a = get("a");
  EXPECT_EQ(get("a"), a);
  const auto b = get("b");
  EXPECT_EQ(get("a"), a);  // now b is the oldest
  get("c");
  EXPECT_EQ(get("a"), a);
  EXPECT_NE(get("b"), b);
  EXPECT_EQ(cache.num_hits(), 3);
  EXPECT_EQ(cache.num_misses(), 4);
  EXPECT_THAT(cache.Get({.kind = GrammarSpec::Kind::kRegex, .text = "("}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("offset 0")));
}

TEST(GrammarCacheTest, KindAndWhitespaceArePartOfTheKey) {
  GrammarCache cache(TestVocabulary(), {}, 8);
  const auto schema = *cache.Get({.kind = GrammarSpec::Kind::kJsonSchema, .text = "true"});
  const auto regex = *cache.Get({.kind = GrammarSpec::Kind::kRegex, .text = "true"});
  const auto compact = *cache.Get({.kind = GrammarSpec::Kind::kJsonSchema,
                                   .text = "true",
                                   .whitespace = JsonWhitespace::kCompact});
  EXPECT_NE(schema, regex);
  EXPECT_NE(schema, compact);
}

}  // namespace
}  // namespace oneai::serving
