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
      // One of these only: what two branches allow is left out.
      {R"({"oneOf":[{"type":"integer","minimum":3},{"type":"integer","maximum":5}]})",
       {"2", "6"},
       {"3", "4", "5"}},
      {R"({"oneOf":[{"enum":["a","b"]},{"enum":["b","c"]}]})", {R"("a")", R"("c")"}, {R"("b")"}},
      {R"({"oneOf":[{"type":"integer"},{"const":3},{"type":"null"}]})",
       {"1", "null"},
       {"3", R"("a")"}},
      // Branches that contradict what is beside them are left out.
      {R"({"type":"string","anyOf":[{"type":"integer"},{"const":"a"}]})", {R"("a")"}, {"1"}},
      {R"({"const":"a","oneOf":[{"const":"b"},{"enum":["a","c"]}]})",
       {R"("a")"},
       {R"("b")", R"("c")"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"string"}],"oneOf":[{"type":"null"},)"
       R"({"type":"integer"}]})",
       {"1"},
       {"null", R"("a")"}},
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
      {R"({"type":"integer","multipleOf":7})",
       {"0", "7", "-14", "700"},
       {"1", "8", "-0", "7.0", "-15"}},
      {R"({"type":"integer","multipleOf":5,"minimum":-12,"maximum":23})",
       {"-10", "0", "20"},
       {"-15", "25", "3"}},
      {R"({"type":"number","multipleOf":0.01,"minimum":0})",
       {"0", "1.5", "19.99"},
       {"1.999", "-1"}},
      {R"({"type":"string","pattern":"^a+b*$","minLength":2,"maxLength":3})",
       {R"("aa")", R"("abb")"},
       {R"("a")", R"("aabb")", R"("ba")"}},
      {R"({"type":"string","format":"hostname","pattern":"\\.org$"})",
       {R"("x.org")"},
       {R"("x.com")"}},
      {R"({"patternProperties":{"^n_":{"type":"integer"},"_s$":{"maximum":9}},)"
       R"("additionalProperties":{"type":"string"}})",
       {"{}", R"({"n_a":12,"x":"y"})", R"({"n_s":9})", R"({"_s":3})"},
       {R"({"n_a":"x"})", R"({"n_s":10})", R"({"x":1})"}},
      {R"({"properties":{"n_x":{"minimum":5}},"patternProperties":{"^n_":{"type":"integer"}}})",
       {R"({"n_x":5,"n_y":1})"},
       {R"({"n_x":4})", R"({"n_x":5.5})", R"({"z":1})"}},
      {R"({"propertyNames":{"pattern":"^[a-c]+$","maxLength":2},"additionalProperties":{"type":"null"}})",
       {"{}", R"({"ab":null,"c":null})"},
       {R"({"abc":null})", R"({"d":null})"}},
      {R"({"properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}},"minProperties":1,"maxProperties":2})",
       {R"({"a":1})", R"({"a":1,"c":3})", R"({"b":2})"},
       {"{}", R"({"a":1,"b":2,"c":3})"}},
      {R"({"type":"object","minProperties":1,"maxProperties":3,"additionalProperties":{"type":"null"}})",
       {R"({"x":null})", R"({"x":null,"y":null,"z":null})"},
       {"{}", R"({"a":null,"b":null,"c":null,"d":null})"}},
      {R"({"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},)"
       R"("dependentRequired":{"a":["c"],"c":["b"]}})",
       {"{}", R"({"b":null})", R"({"b":null,"c":null})", R"({"a":null,"b":null,"c":null})"},
       {R"({"a":null})", R"({"c":null})", R"({"a":null,"c":null})"}},
      {R"({"type":"array","items":{"type":"integer"},"contains":{"minimum":5},"maxItems":3})",
       {"[5]", "[1,7]", "[1,2,9]"},
       {"[]", "[1,2]", "[1,2,3,9]"}},
      {R"({"type":"array","items":{"type":"integer"},"contains":{"minimum":5},"maxContains":2})",
       {"[5]", "[1,7]", "[7,1,2,9,3]"},
       {"[]", "[1,2]", "[5,6,7]", "[5,1,6,2,7]"}},
      {R"({"items":{"enum":["a","b",1]},"contains":{"const":"a"},"minContains":0,"maxContains":1})",
       {"[]", R"(["b",1])", R"(["b","a",1,"b"])"},
       {R"(["a","a"])", R"(["a","b","a"])"}},
      {R"({"items":{"type":"integer"},"contains":{"type":"integer"},"minContains":2,"maxContains":3})",
       {"[1,2]", "[1,2,3]"},
       {"[1]", "[1,2,3,4]"}},
      {R"({"items":{"type":"integer"},"contains":{"type":"string"},"minContains":0,"maxContains":1})",
       {"[]", "[1,2,3]"},
       {R"(["a"])"}},
      {R"({"allOf":[{"items":{"type":"integer"},"contains":{"minimum":5}},)"
       R"({"contains":{"minimum":5},"minContains":0,"maxContains":1},{"maxContains":0}]})",
       {"[5]", "[1,6,2]"},
       {"[]", "[1]", "[5,6]"}},
      {R"({"allOf":[{"type":"string","pattern":"^a"},{"pattern":"b$"},{"pattern":"c","maxLength":4}]})",
       {R"("acb")", R"("axcb")"},
       {R"("ab")", R"("cb")", R"("ac")", R"("axxcb")"}},
      {R"({"type":"string","pattern":"^[a-f]+$","allOf":[{"pattern":"ab"}],"minLength":3})",
       {R"("abc")", R"("fab")"},
       {R"("ab")", R"("fba")", R"("abz")"}},
      {R"({"allOf":[{"format":"uri-reference"},{"format":"json-pointer"}]})",
       {R"("/a/b")"},
       {R"("")", R"("/a b")", R"("/~")"}},
      {R"({"anyOf":[{"allOf":[{"pattern":"^a"},{"pattern":"^b"}]},{"type":"null"}]})",
       {"null"},
       {R"("a")", R"("b")", R"("ab")"}},
      {R"({"type":"string","maxLength":3,"not":{"pattern":"a"},"allOf":[{"not":{"pattern":"b"}},)"
       R"({"not":{"const":"c"}}]})",
       {R"("cc")", R"("")"},
       {R"("a")", R"("xb")", R"("c")"}},
      {R"({"oneOf":[{"type":"string","pattern":"^a","maxLength":2},)"
       R"({"type":"string","pattern":"b$","maxLength":2}]})",
       {R"("a")", R"("b")", R"("aa")", R"("bb")"},
       {R"("ab")", R"("c")", R"("aaa")"}},
      {R"({"enum":["ab","ac","bc",1],"allOf":[{"pattern":"^a"},{"pattern":"c$"}]})",
       {R"("ac")", "1"},
       {R"("ab")", R"("bc")"}},
      {R"({"$ref":"#node","$defs":{"n":{"$anchor":"node","type":"array","items":{"$ref":"#node"}}}})",
       {"[]", "[[],[[]]]"},
       {"1", "[1]"}},
      {R"({"$id":"https://example.com/a/root.json","$ref":"item","$defs":{"i":{"$id":"item",)"
       R"("type":"array","items":{"$ref":"#/$defs/k"},"$defs":{"k":{"enum":[1,{"$ref":"#"}]}}},)"
       R"("k":{"const":2}}})",
       {"[]", "[1]", R"([{"$ref":"#"}])"},
       {"[2]", "1"}},
      {R"({"$id":"https://example.com/a/b/root.json","properties":{"enum":{"$ref":"../c.json#x"},)"
       R"("$ref":{"$ref":"/a/c.json"},"y":{"$ref":"https://example.com/a/b/root.json#/$defs/y"}},)"
       R"("$defs":{"c":{"$id":"https://example.com/a/c.json","type":"null",)"
       R"("$defs":{"x":{"$anchor":"x","const":7}}},"y":{"const":8}}})",
       {R"({"enum":7,"$ref":null,"y":8})"},
       {R"({"enum":8})", R"({"$ref":7})"}},
      {R"({"definitions":{"a":{"$id":"#name","type":"null"}},"items":{"$ref":"#name"}})",
       {"[]", "[null]"},
       {"[1]"}},
      {R"({"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,"minItems":1})",
       {R"(["a"])", R"(["c","a"])", R"(["b","c","a"])"},
       {"[]", R"(["a","a"])", R"(["a","b","a"])"}},
      {R"({"type":"string","not":{"enum":["no","never"]}})", {R"("yes")", R"("non")"}, {R"("no")"}},
      {R"({"type":"integer","not":{"const":3}})", {"2", "33"}, {"3"}},
      {R"({"enum":[1,2,3,"x"],"not":{"enum":[2]},"maximum":2})", {"1", R"("x")"}, {"2", "3"}},
      {R"({"not":{"type":["object","array","string","number"]}})", {"true", "null"}, {"1", "{}"}},
      {R"({"type":"object","properties":{"k":{"enum":["card","cash"]},"n":{"type":"integer"}},)"
       R"("required":["k"],"if":{"properties":{"k":{"const":"card"}}},"then":{"required":["n"]},)"
       R"("else":{"properties":{"n":false}}})",
       {R"({"k":"card","n":1})", R"({"k":"cash"})"},
       {R"({"k":"card"})", R"({"k":"cash","n":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},)"
       R"("dependentSchemas":{"a":{"required":["b"]}}})",
       {"{}", R"({"b":null})", R"({"a":null,"b":null})"},
       {R"({"a":null})"}},
      {R"({"type":"integer","nullable":true})", {"1", "null"}, {"true"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"null"}})",
       {"[]", "[1]", "[1,null]"},
       {"[null]", "[1,1]"}},
      {R"({"allOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"b":{"type":"null"}}}],)"
       R"("unevaluatedProperties":false})",
       {R"({"a":1,"b":null})"},
       {R"({"c":1})"}},
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
      {R"({"type":"integer","multipleOf":2.5})", "#: multipleOf 2.5 is not supported"},
      {R"({"properties":{"a/b":{"$dynamicRef":"#x"}}})",
       "#/properties/a~1b: the keyword '$dynamicRef'"},
      {R"({"items":{"type":"number"},"contains":{"multipleOf":2},"maxContains":1})",
       "what does not match cannot be told here"},
      {R"({"contains":{"minimum":5},"maxContains":1,"minContains":2})", "less than minContains"},
      {R"({"items":{"type":"integer"},"contains":{"minimum":5},"maxContains":30000})",
       "counting what is here needs more than"},
      {R"({"$ref":"#none"})", "only references within the schema"},
      {R"({"$ref":"#/$defs/x","$defs":{"x":{"$id":"y","items":{"$ref":"#/$defs/x"}}}})",
       "leads nowhere"},
      {R"({"$defs":{"a":{"$anchor":"x"},"b":{"$anchor":"x"}}})", "has the same name, '#x'"},
      {R"({"type":"array","uniqueItems":true})", "uniqueItems is supported for items of at most"},
      {R"({"not":{"items":{"type":"string"}}})", "the keyword 'items' inside 'not' or 'if'"},
      {R"({"not":{"type":"integer"}})", "the opposite of \"type\": \"integer\""},
      {R"({"properties":{"a":{}},"propertyNames":{"type":"integer"}})", "not supported here"},
      {R"({"patternProperties":{"a":{},"b":{},"c":{},"d":{},"e":{}}})", "4 are supported"},
      {R"({"minProperties":3,"properties":{"a":{},"b":{}}})", "matches no text"},
      {R"({"type":"text"})", "#: type must be one of"},
      {R"({"type":"string","format":"color"})", "the format \"color\" is not supported"},
      {R"x({"type":"string","pattern":"(?=a)"})x", "#/pattern: offset 0"},
      {R"({"$ref":"http://x/y"})", "only references within the schema"},
      {R"({"$ref":"#/$defs/none"})", "leads nowhere"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})",
       "leads to itself"},
      {R"({"enum":[]})", "allows no value"},
      {R"({"enum":["a"],"type":"integer"})", "allows no value"},
      {R"({"enum":["a"],"minLength":3})", "allows no value"},
      {R"({"enum":[{"a":1}],"minProperties":3})", "beside enum"},
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
