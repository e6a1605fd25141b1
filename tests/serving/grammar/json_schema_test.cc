#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tests/serving/grammar/grammar_testing.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;

struct SchemaCase {
  const char* schema;
  std::vector<std::string> valid;
  std::vector<std::string> invalid;
};

const std::vector<SchemaCase>& Cases() {
  static const auto& cases = *new std::vector<SchemaCase>{
      {R"({"type":"boolean"})", {"true", "false"}, {"null", "tru", "True", "true "}},
      {R"({"type":["integer","null"]})", {"0", "-7", "12", "null"}, {"01", "-0", "1.5", "+1", ""}},
      {R"({"type":"number"})",
       {"0", "-0.5", "1e5", "3.25E-2", "123456"},
       {"01", ".5", "1.", "1e", "--1", "1e123"}},
      {R"({"type":"string"})",
       {R"("")", R"("a\n\"\\\/é日本")", R"("\u00e9\ud83d\ude00")"},
       {R"("a)", R"("\x")", R"("\ud83d")", R"("\ude00")", "\"\n\"", "\"\xff\"",
        "\"\xed\xa0\x80\""}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{}},)"
       R"("required":["b"]})",
       {R"({"b":""})", R"({"a":1,"b":"x"})", R"({"a": 1, "b": "x", "c": [1, {"z": null}]})",
        R"({"b":"","c":0})"},
       {R"({})", R"({"a":1})", R"({"b":"","a":1})", R"({"b":"",})", R"({,"b":""})",
        R"({"b":"","d":1})", R"({"b":1})", R"( {"b":""})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {"{}", R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"},
       {R"({"b":1,"a":2})", R"({"a":1,})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})",
       {"{}", R"({"x":1})", R"({"x":1,"":2,"日":3})"},
       {R"({"x":"1"})", R"({x:1})"}},
      {R"({"properties":{"ab":{"const":1},"abc":{"const":2}},"additionalProperties":{"type":"string"}})",
       {"{}", R"({"ab":1})", R"({"ab":1,"abc":2,"a":"x","abcd":"y","":"z"})", R"({"b":"x"})"},
       {R"({"ab":"x"})", R"({"a":1})", R"({"abc":2,"ab":1})", R"({"\u0061b":"x"})"}},
      {R"({"required":["k"]})", {R"({"k":1})", R"({"k":1,"z":2})"}, {"{}", R"({"z":1})"}},
      {R"({"enum":["a",1,null,{"x":[1,2]},"é"]})",
       {R"("a")", "1", "null", R"({"x":[1,2]})", R"({"x": [1, 2]})", "\"é\""},
       {R"("b")", "2", R"({"x":[1]})"}},
      {R"({"enum":["a",1,2.5,null],"type":["string","integer"]})",
       {R"("a")", "1"},
       {"2.5", "null"}},
      {R"({"const":"x\ny"})", {R"("x\ny")"}, {R"("xy")"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1,2]", "[1, 2, 3]"},
       {"[]", "[1,2,3,4]", "[1,]", "[\"1\"]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":1})",
       {"[1]", R"([1,"a"])"},
       {"[]", R"([1,"a",2])", R"(["a"])"}},
      {R"({"prefixItems":[{"type":"integer"}],"items":{"type":"string"},"maxItems":3})",
       {"[]", "[1]", R"([1,"a"])", R"([1,"a","b"])"},
       {R"([1,"a","b","c"])", "[1,2]"}},
      {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":2}]})",
       {"1", R"("ab")"},
       {R"("abc")", "null"}},
      {R"({"type":"object","properties":{"t":{"type":"string"}},"required":["t"],"oneOf":[)"
       R"({"properties":{"t":{"const":"a"},"v":{"type":"integer"}},"required":["v"]},)"
       R"({"properties":{"t":{"const":"b"}}}]})",
       {R"({"t":"a","v":1})", R"({"t":"b"})"},
       {R"({"t":"a"})", R"({"t":"c"})", R"({"t":"b","v":1})"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},)"
       R"({"properties":{"b":{"type":"integer","minimum":3}},"required":["b"]}]})",
       {R"({"a":1,"b":3})"},
       {R"({"a":1})", R"({"a":1,"b":2})"}},
      {R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},)"
       R"("next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"]}}})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":{"v":3,"next":null}}})"},
       {R"({"v":1})", R"({"v":1,"next":{"v":2}})"}},
      {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]", "[[]"}},
      {R"({"$ref":"#/$defs/a~1b","description":"d","$defs":{"a/b":{"type":"string"}}})",
       {R"("x")"},
       {"1"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("日本語")", R"("\n\"a")"},
       {R"("a")", R"("abcd")", R"("\u0061bc")"}},
      {R"({"type":"string","minLength":1})", {R"("a")", R"("abcdef")"}, {R"("")"}},
      {R"({"type":"string","pattern":"^[A-Z]{2}-\\d+$"})",
       {R"("AB-1")", R"("XY-007")"},
       {R"("AB-")", R"("xAB-1")"}},
      {R"({"type":"string","pattern":"b+"})", {R"("b")", R"("abbc")", R"("\"b\n")"}, {R"("ac")"}},
      {R"({"type":"string","pattern":"^a|z$"})",
       {R"("a")", R"("abc")", R"("xz")"},
       {R"("ba")", R"("zx")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("2024-13-01")", R"("1900-02-29")", R"("2024-04-31")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-29T12:00:00Z")", R"("2024-01-01T23:59:59.123+02:00")"},
       {R"("2024-01-01 00:00:00Z")", R"("2024-01-01T24:00:00Z")"}},
      {R"({"type":"string","format":"uuid"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567")"}},
      {R"({"type":"string","format":"email"})",
       {R"("a.b@example.com")"},
       {R"("a@b")", R"("@b.com")"}},
      {R"({"type":"string","format":"ipv4"})",
       {R"("192.168.0.255")"},
       {R"("256.1.1.1")", R"("1.2.3")"}},
      {R"({"type":"string","format":"ipv6"})",
       {R"("::1")", R"("2001:db8::8a2e:370:7334")"},
       {R"(":::")", R"("1:2:3")"}},
      {R"({"type":"string","format":"uri"})",
       {R"("https://example.com/a?b=c#d")"},
       {R"("example")"}},
      {R"({"type":"integer","minimum":-12,"maximum":305})",
       {"-12", "-1", "0", "99", "305"},
       {"-13", "306", "999", "-0", "1.0"}},
      {R"({"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10})", {"1", "9"}, {"0", "10"}},
      {R"({"type":"integer","minimum":1.5})", {"2", "100"}, {"1", "0", "-5"}},
      {R"({"type":"number","minimum":0,"maximum":1})",
       {"0", "1", "0.5", "0.999", "1.0", "0.0"},
       {"1.1", "-0.1", "1.01", "2", "10", "-0"}},
      {R"({"type":"number","exclusiveMinimum":0,"maximum":2.5})",
       {"0.001", "2.5", "2.49", "2.50", "1"},
       {"0", "0.0", "2.51", "2.501", "3", "-1"}},
      {R"({"type":"number","minimum":-1.25,"exclusiveMaximum":-0.5})",
       {"-1.25", "-1", "-0.51", "-1.250"},
       {"-0.5", "-1.26", "0", "-0.50", "1"}},
      {R"(true)", {"1", "{}", R"([{"a":null}])"}, {"", "{"}},
      {R"({"title":"T","description":"d","default":1,"examples":[1],"$schema":"x","type":"null"})",
       {"null"},
       {"1"}},
  };
  return cases;
}

TEST(JsonSchemaTest, ReadsValidTextsInAnyTokensAndNoInvalidOne) {
  std::mt19937_64 random(1);
  for (const SchemaCase& c : Cases()) {
    SCOPED_TRACE(c.schema);
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(c.schema));
    for (const std::string& text : c.valid) {
      EXPECT_TRUE(Matches(grammar, text)) << text;
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(Matches(grammar, text, &random)) << text;
    }
    for (const std::string& text : c.invalid) EXPECT_FALSE(Matches(grammar, text)) << text;
  }
}

TEST(JsonSchemaTest, MasksSayWhatAcceptDoes) {
  std::mt19937_64 random(2);
  for (const SchemaCase& c : Cases()) {
    SCOPED_TRACE(c.schema);
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(c.schema, JsonWhitespace::kIndented));
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

TEST(JsonSchemaTest, RandomAllowedTokensGiveJson) {
  std::mt19937_64 random(3);
  int num_ended = 0;
  for (const SchemaCase& c : Cases()) {
    SCOPED_TRACE(c.schema);
    ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(c.schema));
    for (int i = 0; i < 10; ++i) {
      const std::string text = RandomText(grammar, random, 20);
      if (text.empty()) continue;
      ++num_ended;
      EXPECT_TRUE(nlohmann::json::accept(text)) << text;
      EXPECT_TRUE(Matches(grammar, text)) << text;
    }
  }
  EXPECT_GT(num_ended, 200);
}

TEST(JsonSchemaTest, ObjectKindIsAnyObject) {
  for (const JsonWhitespace space :
       {JsonWhitespace::kCompact, JsonWhitespace::kSingleSpace, JsonWhitespace::kIndented}) {
    ASSERT_OK_AND_ASSIGN(const auto grammar,
                         CompileKind(GrammarSpec::Kind::kJsonObject, "", space));
    EXPECT_TRUE(Matches(grammar, R"({"a":{"b":[1,2,{"c":"d"}]},"e":null})"));
    EXPECT_EQ(Matches(grammar, R"({"a": 1, "b": [1, 2]})"), space != JsonWhitespace::kCompact);
    EXPECT_EQ(Matches(grammar, "{\n  \"a\": [\n    1\n  ]\n}"), space == JsonWhitespace::kIndented);
    EXPECT_FALSE(Matches(grammar, "[1]"));
    EXPECT_FALSE(Matches(grammar, "1"));
  }
}

TEST(JsonSchemaTest, NestingIsBoundedAtRunTime) {
  GrammarLimits limits;
  limits.call_depth_max = 10;
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileKind(GrammarSpec::Kind::kJsonSchema, "true",
                                                       JsonWhitespace::kCompact, limits));
  GrammarMatcher matcher(grammar);
  int depth = 0;
  while (matcher.Accept('[')) {
    ++depth;
    ExpectMaskIsExact(matcher);
  }
  EXPECT_GE(depth, 5);
  EXPECT_LE(depth, 11);
  EXPECT_TRUE(Reads(matcher, std::string(depth, ']')));
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(JsonSchemaTest, RefusesByNameWhatItCannotHoldTo) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type":"integer","multipleOf":3})", "#: the keyword 'multipleOf' is not supported"},
      {R"({"properties":{"a/b":{"not":{}}}})", "#/properties/a~1b: the keyword 'not'"},
      {R"({"type":"array","uniqueItems":true})", "'uniqueItems'"},
      {R"({"patternProperties":{}})", "'patternProperties'"},
      {R"({"type":"text"})", "#: type must be one of"},
      {R"({"type":"string","format":"color"})", "the format \"color\" is not supported"},
      {R"x({"type":"string","pattern":"(?=a)"})x", "#/pattern: offset 0"},
      {R"({"type":"string","pattern":"a","maxLength":3})", "only one is supported"},
      {R"({"$ref":"http://x/y"})", "only references within the schema"},
      {R"({"$ref":"#/$defs/none"})", "leads nowhere"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})",
       "leads to itself"},
      {R"({"enum":[]})", "allows no value"},
      {R"({"enum":["a"],"type":"integer"})", "allows no value"},
      {R"({"enum":["a"],"maxLength":3})", "beside enum"},
      {R"({"allOf":[{"type":"string"},{"type":"integer"}]})", "exclude each other"},
      {R"({"minItems":3,"maxItems":2})", "maxItems is less"},
      {R"({"minLength":-1})", "minLength must be a whole number"},
      {R"({"type":"integer","minimum":"x"})", "minimum must be a number"},
      {R"({"type":"integer","minimum":5,"maximum":4})", "matches no text"},
      {R"({"required":["a"],"properties":{},"additionalProperties":false})", "is required and not"},
      {R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})", "matches no text"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "refers to itself before it reads"},
      {R"(false)", "matches no text"},
      {R"([1])", "must be an object or a boolean"},
      {R"({"type":)", "JSON schema"},
      {R"({"type":"string","maxLength":1000000})", "#/maxLength: the grammar needs"},
      {R"({"type":"array","items":{"type":"array","maxItems":4000,"items":{"type":"integer"}},"maxItems":400000})",
       "#/maxItems: the grammar needs"},
  };
  for (const auto& [schema, message] : cases) {
    EXPECT_THAT(CompileSchema(schema),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << schema;
  }
}

TEST(JsonSchemaTest, LongBoundedStringsShareTheirMasks) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, CompileSchema(R"({"type":"string","maxLength":1500})"));
  EXPECT_LT(grammar->automaton().num_mask_classes(), grammar->automaton().num_states() / 4);
  EXPECT_TRUE(Matches(grammar, absl::StrCat("\"", std::string(1500, 'x'), "\"")));
  EXPECT_FALSE(Matches(grammar, absl::StrCat("\"", std::string(1501, 'x'), "\"")));
}

TEST(JsonSchemaTest, ManyOptionalPropertiesStaySmall) {
  std::string properties;
  for (int i = 0; i < 200; ++i)
    absl::StrAppend(
        &properties, i == 0 ? "" : ",", R"("p)", i,
        R"(":{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"string"}}})");
  ASSERT_OK_AND_ASSIGN(const auto grammar,
                       CompileSchema(absl::StrCat(R"({"properties":{)", properties, "}}")));
  EXPECT_LT(grammar->automaton().num_states(), 30'000);
  EXPECT_TRUE(Matches(grammar, R"({"p3":{},"p77":{"y":""},"p199":{"x":1,"y":"z"}})"));
}

}  // namespace
}  // namespace oneai::serving
