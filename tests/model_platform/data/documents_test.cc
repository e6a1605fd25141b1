#include "model_platform/data/documents.h"

#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<std::vector<std::string>> Split(const std::string& text, DocumentFormat format,
                                               const DocumentRules& rules, size_t chunk) {
  std::vector<std::string> documents;
  auto visit = [&](absl::string_view document) {
    documents.emplace_back(document);
    return absl::OkStatus();
  };
  DocumentSplitter splitter("file", format, rules);
  for (size_t at = 0; at < text.size(); at += chunk) {
    absl::Status status = splitter.Feed(absl::string_view(text).substr(at, chunk), visit);
    if (!status.ok()) return status;
  }
  absl::Status status = splitter.Finish(visit);
  if (!status.ok()) return status;
  return documents;
}

TEST(DocumentSplitterTest, TextIsCutAtBlankLinesWhateverTheChunks) {
  const std::string text = "First\nspeech\n\n\n\nSecond\n\nThird";
  for (const size_t chunk : {1u, 2u, 3u, 7u, 1000u}) {
    ASSERT_OK_AND_ASSIGN(const auto documents, Split(text, DocumentFormat::kText, {}, chunk));
    EXPECT_THAT(documents, ElementsAre("First\nspeech", "Second", "Third")) << chunk;
  }
}

TEST(DocumentSplitterTest, ParagraphsAreGathered) {
  ASSERT_OK_AND_ASSIGN(const auto documents,
                       Split("a\n\nb\n\nc", DocumentFormat::kText, {"\n\n", 2}, 100));
  EXPECT_THAT(documents, ElementsAre("a\n\nb", "c"));
}

TEST(DocumentSplitterTest, EmptySeparatorMakesOneDocument) {
  ASSERT_OK_AND_ASSIGN(const auto documents, Split("a\n\nb\n", DocumentFormat::kText, {"", 1}, 2));
  EXPECT_THAT(documents, ElementsAre("a\n\nb\n"));
  ASSERT_OK_AND_ASSIGN(const auto none, Split(" \n", DocumentFormat::kText, {}, 2));
  EXPECT_THAT(none, IsEmpty());
}

TEST(DocumentSplitterTest, JsonLinesGiveTheirText) {
  ASSERT_OK_AND_ASSIGN(const auto documents,
                       Split("{\"text\": \"a\\nb\", \"id\": 1}\n\n{\"text\": \"\\u4eac\"}",
                             DocumentFormat::kJsonLines, {}, 5));
  EXPECT_THAT(documents, ElementsAre("a\nb", "京"));
}

TEST(DocumentSplitterTest, BadLineIsNamed) {
  EXPECT_THAT(Split("{\"text\": \"a\"}\n{\"text\": 1}\n", DocumentFormat::kJsonLines, {}, 100),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("file, line 2")));
}

TEST(DocumentFormatTest, UnknownExtensionIsNamed) {
  EXPECT_EQ(*FormatOf("a/b.jsonl"), DocumentFormat::kJsonLines);
  EXPECT_THAT(FormatOf("a/b.parquet"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(".parquet")));
}

TEST(HeldOutTest, ShareIsNearTheRatioAndFixed) {
  int held_out = 0;
  for (int i = 0; i < 10000; ++i) held_out += IsHeldOut("document " + std::to_string(i), 0.1);
  EXPECT_NEAR(held_out, 1000, 5 * 30);  // five standard deviations of a binomial
  EXPECT_FALSE(IsHeldOut("anything", 0.0));
}

}  // namespace
}  // namespace oneai::platform
