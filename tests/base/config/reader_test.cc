#include "base/config/reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using testing::StatusIs;

ConfigDocument Parse(const std::string& text) {
  auto document = ConfigDocument::Parse(text, "examples/x.yaml");
  EXPECT_THAT(document, testing::IsOk());
  return document.ok() ? *document : *ConfigDocument::Parse("", "empty");
}

std::string WithoutLines(std::string json) {
  json.erase(std::remove(json.begin(), json.end(), '\n'), json.end());
  return json;
}

TEST(ConfigReaderTest, ReadsEveryType) {
  const ConfigDocument document = Parse(R"(
name: tiny
count: 3
steps: 1e3
rate: 3e-4
on: true
tags: [a, "b", 3]
env: {A: 1, B: two}
memory: 2GiB
wait: 1.5h
kind: gpu
pretrain:
  layers: 4
tasks:
  - {image: x}
  - {image: y}
raw: {deep: [1, 2.5, null, "3", yes]}
)");
  ConfigReader reader(document);
  std::string name;
  std::string kind;
  int32_t count = 0;
  int64_t steps = 0;
  double rate = 0;
  bool on = false;
  std::vector<std::string> tags;
  std::map<std::string, std::string> env;
  int64_t memory = 0;
  int64_t wait_ms = 0;
  reader.Required("name", name);
  reader.Required("count", count, Range{1, 10});
  reader.Required("steps", steps);
  reader.Optional("rate", rate);
  reader.Optional("on", on);
  reader.Optional("tags", tags);
  reader.Optional("env", env);
  reader.OptionalBytes("memory", memory);
  reader.OptionalDuration("wait", wait_ms);
  reader.OptionalChoice("kind", kind, {"cpu", "gpu"});
  ConfigReader pretrain = reader.Section("pretrain");
  int64_t layers = 0;
  pretrain.Required("layers", layers);
  std::vector<std::string> images;
  for (ConfigReader& task : reader.Sections("tasks")) {
    std::string image;
    task.Required("image", image);
    images.push_back(image);
  }
  EXPECT_EQ(WithoutLines(reader.RawJson("raw")), R"({"deep":[1,2.5,null,"3","yes"]})");
  EXPECT_EQ(reader.RawJson("absent"), "");
  ASSERT_OK(reader.Finish());
  EXPECT_EQ(name, "tiny");
  EXPECT_EQ(count, 3);
  EXPECT_EQ(steps, 1000);
  EXPECT_EQ(rate, 3e-4);
  EXPECT_TRUE(on);
  EXPECT_THAT(tags, ElementsAre("a", "b", "3"));
  EXPECT_THAT(env, ElementsAre(Pair("A", "1"), Pair("B", "two")));
  EXPECT_EQ(memory, int64_t{2} << 30);
  EXPECT_EQ(wait_ms, 5'400'000);
  EXPECT_EQ(kind, "gpu");
  EXPECT_EQ(layers, 4);
  EXPECT_THAT(images, ElementsAre("x", "y"));
}

TEST(ConfigReaderTest, AnUnknownKeyNamesLineAndNearestKey) {
  const ConfigDocument document = Parse("a: 1\n\npretrain:\n  steps: 5\n\n\n  learnig_rate: 3\n");
  ConfigReader reader(document);
  int64_t value = 0;
  reader.Optional("a", value);
  ConfigReader pretrain = reader.Section("pretrain");
  pretrain.Optional("steps", value);
  pretrain.Optional("learning_rate", value);
  EXPECT_THAT(
      reader.Finish(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "examples/x.yaml:7: unknown key \"learnig_rate\"; did you mean \"learning_rate\"?"));
}

TEST(ConfigReaderTest, AnUnknownSectionIsReportedAtItsKey) {
  const ConfigDocument document = Parse("name: x\nzebra:\n  stripes: 5\n");
  ConfigReader reader(document);
  std::string name;
  reader.Required("name", name);
  EXPECT_EQ(reader.Finish().message(),
            "examples/x.yaml:2: unknown key \"zebra\"; known keys: name");
}

// What Finish() says about `text` when `key` is read as T.
template <typename T>
std::string ErrorOf(const std::string& text, std::optional<Range> range = std::nullopt) {
  const ConfigDocument document = Parse(text);
  ConfigReader reader(document);
  T value{};
  reader.Required("key", value, range);
  const absl::Status status = reader.Finish();
  return status.ok() ? "OK" : std::string(status.message());
}

TEST(ConfigReaderTest, WrongTypesSayWhatWasExpected) {
  EXPECT_EQ(ErrorOf<int64_t>("key: fast"),
            "examples/x.yaml:1: \"key\" must be a whole number, not \"fast\"");
  EXPECT_EQ(ErrorOf<int64_t>("key: 1.5"),
            "examples/x.yaml:1: \"key\" must be a whole number, not \"1.5\"");
  EXPECT_THAT(ErrorOf<int64_t>("key: \"3\""), HasSubstr("must be a whole number"));
  EXPECT_THAT(ErrorOf<int32_t>("key: 3000000000"), HasSubstr("32 bits"));
  EXPECT_THAT(ErrorOf<int64_t>("key: 99999999999999999999"), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf<double>("key: nan"), HasSubstr("must be a number"));
  EXPECT_THAT(ErrorOf<bool>("key: yes"), HasSubstr("must be true or false"));
  EXPECT_THAT(ErrorOf<std::string>("key: [1]"), HasSubstr("must be text, not a list"));
  EXPECT_THAT(ErrorOf<std::string>("key:"), HasSubstr("must be text, not nothing"));
  EXPECT_THAT(ErrorOf<std::vector<std::string>>("key: x"), HasSubstr("must be a list of text"));
  EXPECT_EQ(ErrorOf<int64_t>("key: 11", Range{1, 10}),
            "examples/x.yaml:1: \"key\" is 11; it must be from 1 to 10");
  EXPECT_EQ(ErrorOf<int64_t>("{}"), "examples/x.yaml:1: \"key\" is missing");
  EXPECT_EQ(ErrorOf<std::string>("- a\n"),
            "examples/x.yaml:1: a mapping (key: value) is expected, not a list");
}

TEST(ConfigReaderTest, TheFirstErrorInTheDocumentWins) {
  const ConfigDocument document = Parse("a: x\nb: y\n");
  ConfigReader reader(document);
  int64_t value = 0;
  reader.Optional("b", value);
  reader.Optional("a", value);
  EXPECT_THAT(reader.Finish().message(), HasSubstr(":1: \"a\""));
}

TEST(ConfigReaderTest, ChoicesAreListedWithTheNearest) {
  const ConfigDocument document = Parse("kind: ccpu");
  ConfigReader reader(document);
  std::string kind;
  reader.OptionalChoice("kind", kind, {"cpu", "gpu"});
  EXPECT_EQ(
      reader.Finish().message(),
      "examples/x.yaml:1: \"kind\" must be one of cpu, gpu, not \"ccpu\"; did you mean \"cpu\"?");
}

TEST(ConfigReaderTest, BadSizesTimesAndCrossChecks) {
  const ConfigDocument document = Parse("a: 2XB\nb: soon\nc: 1\n");
  ConfigReader a(document);
  int64_t value = 0;
  a.OptionalBytes("a", value);
  EXPECT_THAT(a.Finish().message(), HasSubstr("512MiB"));
  ConfigReader b(document);
  b.OptionalDuration("b", value);
  EXPECT_THAT(b.Finish().message(), HasSubstr(":1: unknown key"));
  ConfigReader c(document);
  for (const char* key : {"a", "b"}) c.RawJson(key);
  c.Fail("c", "must be larger than \"a\"");
  EXPECT_EQ(c.Finish().message(), "examples/x.yaml:3: \"c\" must be larger than \"a\"");
}

TEST(ConfigReaderTest, AnAbsentSectionRequiresNothing) {
  const ConfigDocument document = Parse("name: x\n");
  ConfigReader reader(document);
  std::string text;
  reader.Required("name", text);
  ConfigReader section = reader.Section("gone");
  section.Required("must", text);
  EXPECT_FALSE(section.Has("must"));
  EXPECT_OK(reader.Finish());
}

TEST(ConfigReaderTest, ASectionOutlivesItsReader) {
  const ConfigDocument document = Parse("s: {k: 5}\n");
  ConfigReader section = ConfigReader(document).Section("s");
  int64_t value = 0;
  section.Required("k", value);
  EXPECT_EQ(value, 5);
}

TEST(ConfigDocumentTest, RefusesWhatCouldHurt) {
  const auto message = [](const std::string& text) {
    return std::string(ConfigDocument::Parse(text, "f").status().message());
  };
  EXPECT_EQ(message("a: &x 1\nb: *x\n"),
            "f:1: anchors (&name) are not allowed; write the value out");
  EXPECT_THAT(message("a: 1\na: 2\n"), HasSubstr("f:2: key \"a\" stands here twice"));
  EXPECT_THAT(message("a: !!python/object x\n"), HasSubstr("tag"));
  EXPECT_THAT(message("a: 1\n---\nb: 2\n"), HasSubstr("only one document"));
  EXPECT_THAT(message("a: [1, 2\nb: 3"), HasSubstr("f:"));
  EXPECT_THAT(message("? [a]\n: 1\n"), HasSubstr("a key must be plain text"));
  EXPECT_THAT(message("a: " + std::string(100, '[') + std::string(100, ']')),
              HasSubstr("nested deeper than 64"));
  EXPECT_THAT(message(std::string((1 << 20) + 1, ' ')), HasSubstr("at most"));
  std::string many = "a: [";
  for (int i = 0; i < 100'001; ++i) many += "1,";
  EXPECT_THAT(message(many + "]"), HasSubstr("more than 100000 values"));
  EXPECT_THAT(ConfigDocument::Parse("a: \"no end", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST(ConfigDocumentTest, ReadsJsonAndWritesItBack) {
  const std::string json =
      R"({"a":"x\ny\"","b":[1,-2.5,true,null],"c":{},"d":"1","e":"/\u00e9","f":[],"g":1e-05})";
  EXPECT_EQ(Parse(json).ToJson(),
            "{\"a\":\"x\\u000ay\\\"\",\"b\":[1,-2.5,true,null],\"c\":{},\"d\":\"1\","
            "\"e\":\"/\xc3\xa9\",\"f\":[],\"g\":1.0000000000000001e-05}");
  EXPECT_EQ(Parse("{\n\t\"a\" : 1,\n\t\"b\":\"two\"\n}\n").ToJson(), R"({"a":1,"b":"two"})");
  EXPECT_EQ(Parse("").ToJson(), "{}");
}

TEST(ConfigReaderTest, RawJsonKeepsTheLinesOfItsKeys) {
  const ConfigDocument document =
      Parse("name: x\n\npretrain:\n  steps: 3\n  model:\n    layers: 2\n");
  ConfigReader reader(document);
  const ConfigDocument inner = Parse(reader.RawJson("pretrain"));
  ConfigReader again(inner);
  ConfigReader model = again.Section("model");
  EXPECT_THAT(std::string(again.Finish().message()), HasSubstr(":4: unknown key \"steps\""));
}

TEST(ConfigReaderTest, AMisspeltKeyIsNamedBeforeTheMissingOne) {
  const ConfigDocument document = Parse("other: 1\nmax_stepz: 3\n");
  ConfigReader reader(document);
  int64_t steps = 0;
  int64_t other = 0;
  reader.Required("max_steps", steps);
  reader.Required("other", other);
  EXPECT_THAT(std::string(reader.Finish().message()), HasSubstr("did you mean \"max_steps\""));
}

TEST(NearestWordTest, FindsTyposButNotStrangers) {
  const std::vector<std::string> words = {"learning_rate", "steps", "name"};
  EXPECT_EQ(NearestWord("learnig_rate", words), "learning_rate");
  EXPECT_EQ(NearestWord("setps", words), "steps");
  EXPECT_EQ(NearestWord("nmae", words), "name");
  EXPECT_EQ(NearestWord("color", words), std::nullopt);
  EXPECT_EQ(NearestWord("", words), std::nullopt);
}

}  // namespace
}  // namespace oneai
