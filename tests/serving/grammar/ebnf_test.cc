#include <string>
#include <vector>

#include "tests/serving/grammar/grammar_testing.h"

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

}  // namespace
}  // namespace oneai::serving
