#include "serving/text/stop_matcher.h"

#include <random>

#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

struct Outcome {
  std::string text, matched;
  bool operator==(const Outcome&) const = default;
};
std::ostream& operator<<(std::ostream& os, const Outcome& o) {
  return os << o.text << "|" << o.matched;
}

Outcome Feed(StopMatcher matcher, const std::vector<std::string>& pieces) {
  Outcome out;
  for (const std::string& piece : pieces) {
    StopMatcher::Result result = matcher.Append(piece);
    out.text += result.text;
    if (!result.matched.empty()) return {out.text, result.matched};
  }
  out.text += matcher.Flush();
  return out;
}

TEST(StopMatcherTest, NoPartOfAStopStringGetsOut) {
  StopMatcher matcher({"\n\nUser:"}, StopText::kDrop);
  EXPECT_EQ(matcher.Append("Hi").text, "Hi");
  EXPECT_EQ(matcher.Append(" there\n").text, " there");
  EXPECT_EQ(matcher.Append("\nUs").text, "");
  const StopMatcher::Result result = matcher.Append("er: more");
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(result.matched, "\n\nUser:");
}

TEST(StopMatcherTest, HeldTextComesOutWhenItIsNoStopString) {
  StopMatcher matcher({"abc"}, StopText::kDrop);
  EXPECT_EQ(matcher.Append("ab").text, "");
  EXPECT_EQ(matcher.Append("d").text, "abd");
  EXPECT_EQ(matcher.Append("a").text, "");
  EXPECT_EQ(matcher.Flush(), "a");
}

TEST(StopMatcherTest, IncludeStopKeepsTheString) {
  EXPECT_EQ(Feed(StopMatcher({"END"}, StopText::kKeep), {"xE", "NDy"}), (Outcome{"xEND", "END"}));
}

TEST(StopMatcherTest, OverlappingBeginningsAreFound) {
  EXPECT_EQ(Feed(StopMatcher({"aab"}, StopText::kDrop), {"a", "a", "a", "b"}),
            (Outcome{"a", "aab"}));
}

TEST(StopMatcherTest, FirstCompleteMatchWinsThenTheLongest) {
  EXPECT_EQ(Feed(StopMatcher({"abcd", "bc"}, StopText::kDrop), {"abcd"}), (Outcome{"a", "bc"}));
  EXPECT_EQ(Feed(StopMatcher({"c", "abc"}, StopText::kDrop), {"abc"}), (Outcome{"", "abc"}));
}

TEST(StopMatcherTest, ResultDoesNotDependOnThePieces) {
  std::mt19937 random(7);
  const auto draw = [&](int n) { return static_cast<int>(random() % n); };
  const auto word = [&](int n) {
    std::string s;
    for (int i = 0; i < n; ++i) s += static_cast<char>('a' + draw(2));
    return s;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops;
    for (int i = 0; i <= draw(3); ++i) stops.push_back(word(1 + draw(6)));
    const std::string text = word(draw(24));
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + draw(5);
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    EXPECT_EQ(Feed(StopMatcher(stops, StopText::kDrop), pieces),
              Feed(StopMatcher(stops, StopText::kDrop), {text}))
        << text;
  }
}

}  // namespace
}  // namespace oneai::serving
