#include "base/http/request_target.h"

#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::_;
using testing::StatusIs;

TEST(RequestTargetTest, DecodesPathAndQuery) {
  ASSERT_OK_AND_ASSIGN(const RequestTarget target,
                       ParseRequestTarget("/a%20b/%E4%BD%A0?x=1&y=a+b%26c&flag&x=2#frag"));
  EXPECT_EQ(target.path, "/a b/\xe4\xbd\xa0");
  EXPECT_EQ(target.query.count("x"), 2u);
  EXPECT_EQ(target.query.find("y")->second, "a b&c");
  EXPECT_EQ(target.query.find("flag")->second, "");
  EXPECT_EQ(ParseRequestTarget("/a..b/..c")->path, "/a..b/..c");
}

TEST(RequestTargetTest, RefusesWhatCouldMeanTwoThings) {
  for (const char* target :
       {"", "*", "http://x/", "a", "/..", "/a/../b", "/%2e%2e/x", "/a/%2E%2E", "/%2e./x", "/a%00b",
        "/a%0d%0ab", "/a\\b", "/a%5cb", "/%", "/%4", "/%zz", "/a?x=%zz", "/%7f"}) {
    EXPECT_THAT(ParseRequestTarget(target), StatusIs(absl::StatusCode::kInvalidArgument, _))
        << target;
  }
}

}  // namespace
}  // namespace oneai
