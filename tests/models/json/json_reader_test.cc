#include "models/json/json_reader.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ParseJsonTest, BoundsSizeDepthAndNumberOfValues) {
  EXPECT_OK(ParseJson("[[[1]]]", "d", {.depth_max = 3}));
  EXPECT_THAT(ParseJson("[[[1]]]", "d", {.depth_max = 2}),
              StatusIs(kInvalid, HasSubstr("nested deeper than 2")));
  EXPECT_THAT(ParseJson("[1,2,3]", "d", {.values_max = 3}),
              StatusIs(kInvalid, HasSubstr("more than 3 values")));
  EXPECT_THAT(ParseJson("{\"a\":1}", "d", {.values_max = 2}),
              StatusIs(kInvalid, HasSubstr("more than 2 values")));
  EXPECT_THAT(ParseJson("[1,2,3]", "d", {.bytes_max = 6}),
              StatusIs(kInvalid, HasSubstr("7 bytes")));
}

TEST(ParseJsonTest, MalformedTextNamesTheDocumentAndThePlace) {
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "\"\xff\"", "1 2", "\"\\ud800\""})
    EXPECT_THAT(ParseJson(text, "doc.json"),
                StatusIs(kInvalid, HasSubstr("doc.json: not valid JSON: byte")))
        << text;
  EXPECT_THAT(ParseJson("{\"a\":1,\"b\":{\"a\":1,\"a\":2}}", "d"),
              StatusIs(kInvalid, HasSubstr("duplicate key 'a'")));
}

TEST(ParseJsonTest, OrderedKeepsTheOrderAndEveryDigit) {
  const std::string text = "{\"z\":1,\"a\":[18446744073709551615,1.5],\"m\":null}";
  EXPECT_EQ(ParseOrderedJson(text, "d")->dump(), text);
  EXPECT_THAT(ParseOrderedJson("18446744073709551616", "d"),
              StatusIs(kInvalid, HasSubstr("64 bits")));
  EXPECT_OK(
      ParseJson("1000000000000000019884624838656", "d"));  // "no limit" in released configurations
}

TEST(JsonObjectTest, GettersNameDocumentPathAndValue) {
  ASSERT_OK_AND_ASSIGN(Json json,
                       ParseJson(R"({"o":{"n":"x","i":7,"f":1.5,"l":["a",2],"u":null}})", "doc"));
  ASSERT_OK_AND_ASSIGN(JsonObject root, JsonObject::From(json, "doc"));
  ASSERT_OK_AND_ASSIGN(JsonObject o, root.Object("o"));
  EXPECT_THAT(o.Int("n"), StatusIs(kInvalid, "doc: key 'o.n': must be an integer, found \"x\""));
  EXPECT_THAT(o.Int("f"), StatusIs(kInvalid, HasSubstr("found 1.5")));
  EXPECT_THAT(o.Int("absent"), StatusIs(kInvalid, HasSubstr("'o.absent': is missing")));
  EXPECT_THAT(o.Int("u"), StatusIs(kInvalid, HasSubstr("is missing")));  // null is missing
  EXPECT_THAT(o.Int("i", {8, 9}), StatusIs(kInvalid, HasSubstr("between 8 and 9, found 7")));
  EXPECT_THAT(o.StringListOr("l", {}), StatusIs(kInvalid, HasSubstr("a list of strings")));
  EXPECT_THAT(o.BoolOr("i", true), StatusIs(kInvalid, HasSubstr("true or false")));
  EXPECT_THAT(root.Int("o"), StatusIs(kInvalid, HasSubstr("found object")));
  EXPECT_EQ(*o.IntOr("u", 3), 3);
  EXPECT_EQ(*o.Double("i"), 7.0);
  EXPECT_THAT(*o.IntOrIntList("i"), ElementsAre(7));
}

TEST(ReadSmallFileTest, RefusesWhatIsNotASmallRegularFile) {
  const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / "small.json";
  std::ofstream(path) << "{}";
  EXPECT_EQ(*ReadSmallFile(path, 2), "{}");
  EXPECT_THAT(ReadSmallFile(path, 1), StatusIs(kInvalid, HasSubstr("2 bytes")));
  EXPECT_THAT(ReadSmallFile(path.parent_path(), 10), StatusIs(kInvalid, HasSubstr("regular file")));
  EXPECT_THAT(ReadSmallFile("/dev/zero", 10), StatusIs(kInvalid, HasSubstr("regular file")));
  EXPECT_THAT(ReadJsonFile("/nonexistent/x.json"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("x.json")));
}

}  // namespace
}  // namespace oneai::models
