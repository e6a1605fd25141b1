#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/serving/grammar/grammar_testing.h"
#include "tests/testing/paths.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;

struct EbnfCase {
  const char* grammar;
  std::vector<std::string> valid;
  std::vector<std::string> invalid;
};

const std::vector<EbnfCase>& Cases() {
  static const auto& cases = *new std::vector<EbnfCase>{
      {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "y", "yesno"}},
      // Recursion, both sides of it.
      {"root ::= expr\nexpr ::= term ((\"+\" | \"-\") term)*\n"
       "term ::= [0-9]+ | \"(\" expr \")\"  # comment\n",
       {"1", "1+2", "(1+(2-3))-44", "((((7))))"},
       {"", "1+", "(1", "1)", "()"}},
      {"root ::= expr\nexpr ::= expr \"+\" num | expr \"*\" num | num\nnum ::= [0-9]",
       {"1", "1+2*3+4"},
       {"+1", "1+", "12"}},
      {"root ::= list\nlist ::= \"x\" list | \"x\"", {"x", "xxxxxxxxxxxxxxxxxxxxxxxx"}, {"", "xy"}},
      {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"aab", "abb"}},
      // Ambiguous, and a rule that can be empty.
      {"root ::= a a\na ::= \"x\"* b?\nb ::= \"y\"",
       {"", "x", "xyxy", "yy", "xxxx"},
       {"yxyxy", "z"}},
      {"root ::= root2 root2 root2\nroot2 ::= \"a\" root2 | root2b\nroot2b ::= \"b\"?",
       {"", "aab", "bbb", "abaabab"},
       {"bbbb"}},
      // SQL, as in vLLM's documentation.
      {"root ::= select_statement\n"
       "select_statement ::= \"SELECT \" column \" from \" table \" where \" condition\n"
       "column ::= \"col_1 \" | \"col_2 \"\n"
       "table ::= \"table_1 \" | \"table_2 \"\n"
       "condition ::= column \"= \" number\n"
       "number ::= \"1 \" | \"2 \"\n",
       {"SELECT col_1  from table_2  where col_2 = 1 "},
       {"SELECT col_3  from table_1  where col_1 = 1 "}},
      // Forms of the notation.
      {"root ::= ('a' | \"\\x62\" | \"\\u00e9\" | \"\\n\"){2,3} /* W3C */ [^a-z\\]] .;",
       {"abXZ", "éa0日", "\n\nAx"},
       {"aaz", "a!"}},
      {"root ::= [a-]+ [\\-\\]]{2}\n\n\nunused ::= \"z\"", {"a--]", "-]]"}, {"a-"}},
      {"root ::=\n  \"a\"\n  | \"b\" (\n \"c\"\n)", {"a", "bc"}, {"b"}},
      {"root ::= text \"</end>\"\ntext ::= [^<]*", {"</end>", "hello 日本</end>"}, {"<", "x</en"}},
  };
  return cases;
}

TEST(EbnfTest, ReadsValidTextsInAnyTokensAndNoInvalidOne) {
  std::mt19937_64 random(1);
  for (const EbnfCase& c : Cases()) {
    SCOPED_TRACE(c.grammar);
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileEbnf(c.grammar));
    for (const std::string& text : c.valid) {
      EXPECT_TRUE(Matches(grammar, text)) << text;
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(Matches(grammar, text, &random)) << text;
    }
    for (const std::string& text : c.invalid) EXPECT_FALSE(Matches(grammar, text)) << text;
  }
}

TEST(EbnfTest, MasksSayWhatAcceptDoes) {
  for (const EbnfCase& c : Cases()) {
    SCOPED_TRACE(c.grammar);
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileEbnf(c.grammar));
    for (const std::string& text : c.valid) {
      GrammarMatcher matcher(grammar);
      ExpectMaskIsExact(matcher);
      for (char b : text) {
        ASSERT_TRUE(matcher.Accept(static_cast<uint8_t>(b)));
        ExpectMaskIsExact(matcher);
      }
    }
  }
}

TEST(EbnfTest, RightRecursionNeedsNoStack) {
  ASSERT_OK_AND_ASSIGN(const auto grammar,
                       CompileEbnf("root ::= line\nline ::= [a-z0-9 ]+ \"\\n\" line | \"end\""));
  GrammarMatcher matcher(grammar);
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(Reads(matcher, "row 1\n"));
  EXPECT_TRUE(Reads(matcher, "end"));
  EXPECT_TRUE(matcher.CanEnd());
}

// Exponentially many readings: some are dropped, and what is left is still right.
TEST(EbnfTest, AmbiguityIsBounded) {
  ASSERT_OK_AND_ASSIGN(
      const auto grammar,
      CompileEbnf(
          "root ::= s\ns ::= \"(\" s s s \")\" | \"(\" s t \")\" | \"(\" t s \")\" | \"a\" | \"\"\n"
          "t ::= \"(\" s t \")\" | \"a\" | \"(\" t t \")\""));
  GrammarMatcher matcher(grammar);
  for (int i = 0; i < 60; ++i) {
    if (!matcher.Accept('(')) break;
    const std::vector<uint64_t> mask = MaskOf(matcher);
    EXPECT_TRUE(IsAllowed(mask, '('));
    EXPECT_TRUE(IsAllowed(mask, 'a'));
  }
}

// Near the bound on nesting only what can still be closed is allowed.
TEST(EbnfTest, TheBoundOnNestingIsNoDeadEnd) {
  GrammarLimits limits;
  limits.call_depth_max = 7;
  ASSERT_OK_AND_ASSIGN(
      const auto grammar,
      CompileKind(
          GrammarSpec::Kind::kEbnf,
          "root ::= s\ns ::= \"(\" t \")\" | \"x\"\nt ::= \"[\" u \"]\"\nu ::= \"{\" s \"}\" u?",
          JsonWhitespace::kCompact, limits));
  std::mt19937_64 random(4);
  int num_ended = 0;
  for (int i = 0; i < 100; ++i) num_ended += !RandomText(grammar, random, 10).empty();
  EXPECT_GT(num_ended, 5);
  EXPECT_THAT(CompileKind(GrammarSpec::Kind::kEbnf,
                          "root ::= a \"x\"\na ::= \"(\" b \")\"\nb ::= \"x\" [^a]*",
                          JsonWhitespace::kCompact, {.call_depth_max = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nests more than 0 deep")));
}

TEST(EbnfTest, RefusesWithTheOffset) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "there is no rule 'root'"},
      {"a ::= \"x\"", "there is no rule 'root'"},
      {"root ::= b", "offset 9 of the grammar: rule 'b' is used and not defined"},
      {"root ::= \"x", "the string has no end"},
      {"root ::= (\"x\"", "'(' is not closed"},
      {"root ::= \"x\" )", "expected a rule"},
      {"root ::= \"x\"\nroot ::= \"y\"", "defined twice"},
      {"root = \"x\"", "expected ::="},
      {"root ::= [z-a]", "wrong order"},
      {"root ::= \"x\"{3,1}", "wrong order"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"a\"?????", "too many quantifiers"},
      {"root ::= (= \"x\")", "look-ahead"},
      {"root ::= a\na ::= b \"x\" | \"y\"\nb ::= a \"z\" | \"w\"", "left recursion"},
      {"root ::= root", "matches no text"},
      {"root ::= \"a\" root", "matches no text"},
  };
  for (const auto& [grammar, message] : cases) {
    EXPECT_THAT(CompileEbnf(grammar),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << grammar;
  }
}

TEST(EbnfTest, LongChainsOfRulesAreFine) {
  std::string text = "root ::= r0\n";
  for (int i = 0; i < 5000; ++i)
    text += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  text += "r5000 ::= \"x\"\n";
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileEbnf(text));
  EXPECT_TRUE(Matches(grammar, "x"));
}

// Found by fuzzing: each byte has hundreds of readings. What a mask may cost is bounded, and what
// the bound leaves out is left out by Accept, too.
TEST(EbnfTest, VeryAmbiguousGrammarsCostBoundedWork) {
  std::vector<std::string> tokens = TestTokens();
  for (int a = 32; a < 127; ++a) {
    for (int b = 32; b < 127; ++b) tokens.push_back({static_cast<char>(a), static_cast<char>(b)});
  }
  const int32_t end = static_cast<int32_t>(TestTokens().size()) - 1;
  ASSERT_OK_AND_ASSIGN(const auto vocabulary, TokenVocabulary::FromBytes(std::move(tokens), {end}));
  int num_files = 0, num_bounded = 0;
  const std::filesystem::path folder =
      oneai::testing::DataDir().parent_path() / "fuzz/corpus/ebnf_fuzz";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().rfind("slow-", 0) != 0) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    ASSERT_OK_AND_ASSIGN(
        const auto grammar,
        CompiledGrammar::Compile({.kind = GrammarSpec::Kind::kEbnf, .text = text}, vocabulary, {}));
    ++num_files;
    std::mt19937_64 random(5);
    GrammarMatcher matcher(grammar);
    for (int step = 0; step < 12; ++step) {
      const std::vector<uint64_t> mask = MaskOf(matcher);
      // The step that passes the bound, and one step for every class of bytes.
      EXPECT_LE(matcher.mask_work(), kMaskWorkMax + 257 * (kStepWorkMax + kStackItemsMax));
      num_bounded += matcher.mask_work() > kMaskWorkMax ? 1 : 0;
      std::vector<int32_t> allowed;
      for (int32_t t = 0; t < vocabulary->num_tokens(); ++t) {
        if (IsAllowed(mask, t) && t != end) allowed.push_back(t);
      }
      for (int i = 0; i < 40; ++i) {
        const int32_t t = static_cast<int32_t>(random() % vocabulary->num_tokens());
        GrammarMatcher before = matcher;
        EXPECT_EQ(before.Accept(t), IsAllowed(mask, t)) << vocabulary->Bytes(t);
      }
      ASSERT_FALSE(allowed.empty());
      ASSERT_TRUE(matcher.Accept(allowed[random() % allowed.size()]));
      // Accept says the same when no mask was asked for.
      GrammarMatcher again = matcher;
      again.Rollback(1);
      const int32_t pair = end + 1 + static_cast<int32_t>(random() % (95 * 95));
      EXPECT_EQ(again.Accept(pair), IsAllowed(mask, pair)) << vocabulary->Bytes(pair);
    }
  }
  EXPECT_EQ(num_files, 3);
  EXPECT_GT(num_bounded, 0);
}

}  // namespace
}  // namespace oneai::serving
