#include <string>
#include <vector>

#include "models/tokenizer/unicode_text.h"
#include "re2/re2.h"
#include "tests/serving/grammar/grammar_testing.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;

const char* const kExpressions[] = {
    "",
    "a",
    "abc|abd|x",
    "(a|b)*abb",
    "[a-c]+[^a-c]?",
    "a{2,4}b{0}c{3}",
    "(ab?){2,}",
    "\\d{4}-\\d{2}-\\d{2}",
    "[A-Za-z_]\\w*",
    "(?:foo|bar)+(?P<n>x|y)",
    "\\s*\\S+\\s*",
    ".*",
    ".+é.",
    "[日本]|[^\\x00-\\x7f]{1,3}",
    "\\x41[\\x{1F600}-\\x{1F64F}]",
    "^a$|^b+$",
    "(^a|b$)",
    "[]a-]+",
    "[^]a]",
    "a.b\\.c\\\\",
    "[[:alpha:]][[:^digit:]]",
    "(|a)(|b)c*?",
    "x{3}",
    "a{,x}",
    "a{b",
    "ab{00}",
    "\\W\\D\\S",
    "((((a)*b)*c)*d)*",
    "\\pL\\p{Greek}?",
    "[\\d\\-x]+",
    "-?(0|[1-9][0-9]*)(\\.[0-9]+)?",
    "[\\w.+]+@[a-z]+\\.(com|org)",
    "\\Aab\\z",
    "[^\\n]",
    "\\n\\t\\r\\f\\v\\a",
};

// Random text, mostly of characters that the expression names.
std::string RandomSubject(std::mt19937_64& random, const std::string& expression) {
  static const std::vector<std::string>& extra =
      *new std::vector<std::string>{"a", "b",  "c",  "x", "0", "7", "-", ".",  "\n", " ",
                                    "é", "日", "本", "α", "😀", "@", "_", "\\", "]"};
  std::string text;
  for (size_t n = random() % 9; n > 0; --n) {
    if (!expression.empty() && random() % 2 == 0) {
      const size_t at = random() % expression.size();
      const models::Utf8Char c = models::DecodeUtf8(expression, at);
      if (c.code_point != models::kIllFormed) text += expression.substr(at, c.bytes);
    } else {
      text += extra[random() % extra.size()];
    }
  }
  return text;
}

TEST(RegexTest, MatchesWhatRe2Matches) {
  std::mt19937_64 random(1);
  int num_matches = 0;
  for (const char* expression : kExpressions) {
    SCOPED_TRACE(expression);
    const re2::RE2 re2(expression);
    ASSERT_TRUE(re2.ok()) << re2.error();
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileRegex(expression));
    for (int i = 0; i < 300; ++i) {
      const std::string text = RandomSubject(random, expression);
      const bool expected = re2::RE2::FullMatch(text, re2);
      num_matches += expected;
      EXPECT_EQ(Matches(grammar, text), expected) << "'" << text << "'";
    }
  }
  EXPECT_GT(num_matches, 500);
}

TEST(RegexTest, RandomWalksAreMatchedByRe2) {
  std::mt19937_64 random(2);
  int num_ended = 0;
  for (const char* expression : kExpressions) {
    SCOPED_TRACE(expression);
    const re2::RE2 re2(expression);
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileRegex(expression));
    for (int i = 0; i < 20; ++i) {
      std::string text = RandomText(grammar, random, 12);
      if (text.empty()) continue;
      ++num_ended;
      EXPECT_TRUE(re2::RE2::FullMatch(text, re2)) << "'" << text << "'";
      EXPECT_TRUE(Matches(grammar, text, &random));
    }
  }
  EXPECT_GT(num_ended, 300);
}

// Expressions made at random from a few pieces.
std::string RandomExpression(std::mt19937_64& random, int depth) {
  static const char* const kAtoms[] = {"a", "b", "[ab]", "[^a]", ".", "\\d", "é", "\\w", "ab"};
  if (depth == 0 || random() % 3 == 0) return kAtoms[random() % std::size(kAtoms)];
  const std::string inner = RandomExpression(random, depth - 1);
  switch (random() % 7) {
    case 0:
      return "(" + inner + ")*";
    case 1:
      return "(" + inner + ")?";
    case 2:
      return "(" + inner + "){1,3}";
    case 3:
      return "(" + inner + "|" + RandomExpression(random, depth - 1) + ")";
    case 4:
      return "(" + inner + ")+";
    default:
      return inner + RandomExpression(random, depth - 1);
  }
}

TEST(RegexTest, RandomExpressionsMatchWhatRe2Matches) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    const std::string expression = RandomExpression(random, 4);
    SCOPED_TRACE(expression);
    const re2::RE2 re2(expression);
    ASSERT_TRUE(re2.ok());
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileRegex(expression));
    for (int j = 0; j < 25; ++j) {
      const std::string text = RandomSubject(random, "aabb1é");
      EXPECT_EQ(Matches(grammar, text), re2::RE2::FullMatch(text, re2)) << "'" << text << "'";
    }
  }
}

TEST(RegexTest, RefusesWithTheOffset) {
  const std::pair<const char*, const char*> cases[] = {
      {"ab(c", "offset 2 of the regular expression: '(' is not closed"},
      {"a)", "offset 1"},
      {"[a", "offset 0"},
      {"*a", "nothing to repeat"},
      {"a**", "a quantifier follows"},
      {"(?=a)", "look-ahead"},
      {"(?<!a)", "look-ahead and look-behind"},
      {"(?i)a", "flags"},
      {"(a)\\1", "back references"},
      {"a\\b", "word boundaries"},
      {"a^b", "offset 1 of the regular expression: ^ and $"},
      {"a++", "possessive"},
      {"a{3,2}", "wrong order"},
      {"[z-a]", "wrong order"},
      {"\\q", "unknown escape"},
      {"\\p{Nope}", "no Unicode property"},
      {"\\x{D800}", "not the number of a character"},
      {"a\\", "a '\\' at the end"},
      {"[^\\x{0}-\\x{10FFFF}]", "matches no text"},
  };
  for (const auto& [expression, message] : cases) {
    EXPECT_THAT(CompileRegex(expression),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << expression;
  }
}

TEST(RegexTest, RefusesWhatExplodesNamingTheRepetition) {
  for (const char* expression :
       {"a{1000000000}", "(((a{1,1000}){1,1000}){1,1000}){1,1000}", "(x+x+){500000}y"}) {
    EXPECT_THAT(CompileRegex(expression), StatusIs(absl::StatusCode::kInvalidArgument,
                                                   HasSubstr("offset 0: the grammar needs")))
        << expression;
  }
  // Small as a nondeterministic automaton, exponential as a deterministic one.
  EXPECT_THAT(CompileRegex("(a|b)*a(a|b){40}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than")));
  EXPECT_THAT(CompileRegex(std::string(100000, '(')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("brackets are open")));
}

}  // namespace
}  // namespace oneai::serving
