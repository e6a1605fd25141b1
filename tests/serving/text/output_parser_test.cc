#include "serving/text/output_parser.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;
using Kind = OutputDelta::Kind;

constexpr const char* kTools = R"([
  {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {
    "city": {"type": "string"}, "days": {"type": "integer"}, "hourly": {"type": "boolean"},
    "limits": {"type": "array"}, "unit": {"type": ["string", "null"]}, "at": {"anyOf": [{"type": "number"},
    {"type": "null"}]}}}}},
  {"type": "function", "function": {"name": "now"}}])";

ToolTypes Tools() { return *ToolTypes::From(nlohmann::json::parse(kTools)); }

// What a client sees: neighbours of a kind joined.
std::vector<OutputDelta> Join(const std::vector<OutputDelta>& deltas) {
  std::vector<OutputDelta> joined;
  for (const OutputDelta& d : deltas) {
    if (!joined.empty() && joined.back().kind == d.kind && joined.back().index == d.index &&
        d.kind != Kind::kToolCallStart) {
      joined.back().text += d.text;
    } else {
      joined.push_back(d);
    }
  }
  return joined;
}

// Feeds the pieces of `text` between `cuts`.
std::vector<OutputDelta> ParseCut(const OutputFormat& format, const std::string& text,
                                  std::vector<size_t> cuts) {
  OutputParser parser(format, Tools());
  std::vector<OutputDelta> all;
  size_t begin = 0;
  cuts.push_back(text.size());
  for (size_t cut : cuts) {
    for (OutputDelta& d : parser.Feed(text.substr(begin, cut - begin))) all.push_back(std::move(d));
    begin = cut;
  }
  for (OutputDelta& d : parser.Finish()) all.push_back(std::move(d));
  return Join(all);
}

// "C:", "R:", "T<index>:" (name) and "A<index>:" (arguments), a line each.
std::string Show(const std::vector<OutputDelta>& deltas) {
  std::string out;
  for (const OutputDelta& d : deltas) {
    switch (d.kind) {
      case Kind::kContent:
        absl::StrAppend(&out, "C:", d.text, "|");
        break;
      case Kind::kReasoning:
        absl::StrAppend(&out, "R:", d.text, "|");
        break;
      case Kind::kToolCallStart:
        absl::StrAppend(&out, "T", d.index, ":", d.name, "|");
        break;
      case Kind::kToolCallArguments:
        absl::StrAppend(&out, "A", d.index, ":", d.text, "|");
        break;
    }
  }
  return out;
}

constexpr OutputFormat kPlain = {};
constexpr OutputFormat kThink = {.reasoning = ReasoningFormat::kThinkTags};
constexpr OutputFormat kInside = {.reasoning = ReasoningFormat::kStartsInside};
constexpr OutputFormat kHermes = {.tool_calls = ToolCallFormat::kHermes,
                                  .reasoning = ReasoningFormat::kThinkTags};
constexpr OutputFormat kXml = {.tool_calls = ToolCallFormat::kXml,
                               .reasoning = ReasoningFormat::kThinkTags};
constexpr OutputFormat kHermesNow = {.tool_calls = ToolCallFormat::kHermes, .hold_bytes = 0};
constexpr OutputFormat kXmlNow = {.tool_calls = ToolCallFormat::kXml, .hold_bytes = 0};

struct ParserCase {
  OutputFormat format;
  std::string text;
  std::string expected;
};

const std::vector<ParserCase>& Cases() {
  static const auto& cases = *new std::vector<ParserCase>{
      {kPlain, "Hello <think> 日本 <tool_call>", "C:Hello <think> 日本 <tool_call>|"},
      {kPlain, "", ""},
      // Reasoning.
      {kThink, "<think>\nI 思う\n</think>\n\nYes\n", "R:I 思う|C:Yes\n|"},
      {kThink, "\n<think>a</think>b", "R:a|C:b|"},
      {kThink, "No tags < here", "C:No tags < here|"},
      {kThink, " <thin", "C: <thin|"},
      {kThink, "<think>cut off <b>\n", "R:cut off <b>\n|"},
      {kThink, "<think>a</thin</think>b</think>", "R:a</thin|C:b</think>|"},
      {kThink, "<think></think>x", "C:x|"},
      {kInside, "so\n\nit is\n</think>\n\nok", "R:so\n\nit is|C:ok|"},
      {kInside, "<think>\nso</think>ok", "R:so|C:ok|"},
      {kInside, "never ends", "R:never ends|"},
      // Hermes.
      {kHermes,
       "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
       "\"Paris\"}}\n</tool_call>",
       "T0:get_weather|A0:{\"city\": \"Paris\"}|"},
      {kHermes,
       "<think>\nhm\n</think>\n\nSure.\n<tool_call>\n{\"name\": \"a\", \"arguments\": "
       "{}}\n</tool_call>\n"
       "<tool_call>\n{\"arguments\": {\"x\": [1, {\"y\": \"}</tool_call>\"}]}, \"name\": "
       "\"b\"}\n</tool_call>\n",
       "R:hm|C:Sure.|T0:a|A0:{}|T1:b|A1:{\"x\": [1, {\"y\": \"}</tool_call>\"}]}|"},
      {kHermes, "<tool_call>{\"name\": \"now\"}</tool_call>", "T0:now|A0:{}|"},
      {kHermes, "<tool_call>{\"name\": \"now\", \"arguments\": null}</tool_call>", "T0:now|A0:{}|"},
      {kHermes, "<tool_call>{\"name\": \"n\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
       "T0:n|A0:{\"a\": 1}|"},
      {kHermes,
       "<tool_call>{\"name\": \"n\", \"arguments\": {\"k\": \"日本\\u00e9\\n\"}}</tool_call> done",
       "T0:n|A0:{\"k\": \"日本\\u00e9\\n\"}|C: done|"},
      // Malformed, and nothing lost.
      {kHermes, "a <tool_call>not json</tool_call> b", "C:a <tool_call>not json</tool_call> b|"},
      {kHermes, "<tool_call>{\"name\": \"n\", \"arguments\": {bad}}</tool_call>",
       "C:<tool_call>{\"name\": \"n\", \"arguments\": {bad}}</tool_call>|"},
      {kHermes, "<tool_call>{\"arguments\": {}}</tool_call>",
       "C:<tool_call>{\"arguments\": {}}</tool_call>|"},
      {kHermes, "<tool_call>{\"name\": \"n\", \"arguments\": [1]}</tool_call>",
       "C:<tool_call>{\"name\": \"n\", \"arguments\": [1]}</tool_call>|"},
      {kHermes, "<tool_call>{\"name\": \"n\", \"arguments\": \"x\"}</tool_call>",
       "C:<tool_call>{\"name\": \"n\", \"arguments\": \"x\"}</tool_call>|"},
      {kHermes, "<tool_call>{\"name\": 1}</tool_call>", "C:<tool_call>{\"name\": 1}</tool_call>|"},
      {kHermes, "<tool_call>{\"name\": \"n\"} oops", "C:<tool_call>{\"name\": \"n\"} oops|"},
      {kHermes, "<tool_call><tool_call>{\"name\": \"n\"}</tool_call>", "C:<tool_call>|T0:n|A0:{}|"},
      {kHermes, "</tool_call><tool", "C:</tool_call><tool|"},
      {kHermes, "x\n\n<tool_cal", "C:x\n\n<tool_cal|"},
      // The end tag is missing, or all of the end.
      {kHermes, "<tool_call>{\"name\": \"n\", \"arguments\": {}}\n", "T0:n|A0:{}|"},
      {kHermes, "<tool_call>{\"name\": \"a\"}\n<tool_call>{\"name\": \"b\"}</tool_call>",
       "T0:a|A0:{}|T1:b|A1:{}|"},
      {kHermes, "<tool_call>{\"name\": \"n\", \"arguments\": {\"a\": 12", "T0:n|A0:{\"a\": 12|"},
      {kHermes, "<tool_call>{\"name\": \"n\"", "C:<tool_call>{\"name\": \"n\"|"},
      // Streamed at once.
      {kHermesNow,
       "<tool_call>{\"name\": \"n\", \"arguments\": {\"a\": \"b\", \"c\": 1e5}}</tool_call>",
       "T0:n|A0:{\"a\": \"b\", \"c\": 1e5}|"},
      {kHermesNow, "<tool_call>{\"name\": \"n\", \"arguments\": {\"a\": bad}}</tool_call>",
       "T0:n|A0:{\"a\": |C:bad}}</tool_call>|"},
      // XML.
      {kXml,
       "<tool_call>\n<function=get_weather>\n<parameter=city>\nNew "
       "\"York\"\n</parameter>\n<parameter=days>\n3\n"
       "</parameter>\n<parameter=hourly>\nTrue\n</parameter>\n<parameter=limits>\n[1, "
       "2]\n</parameter>\n"
       "<parameter=unit>\nnull\n</parameter>\n<parameter=at>\n1.5\n</parameter>\n</function>\n</"
       "tool_call>",
       "T0:get_weather|A0:{\"city\": \"New \\\"York\\\"\", \"days\": 3, \"hourly\": true, "
       "\"limits\": [1, 2], "
       "\"unit\": null, \"at\": 1.5}|"},
      {kXml, "<tool_call><function=now></function></tool_call>", "T0:now|A0:{}|"},
      {kXml,
       "Let me.\n\n<tool_call>\n<function=f>\n<parameter=code>\nif a < b:\n  "
       "</p\n\n</parameter>\n</function>\n"
       "</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
       "C:Let me.|T0:f|A0:{\"code\": \"if a < b:\\n  </p\\n\"}|T1:now|A1:{}|"},
      {kXml,
       "<tool_call><function=get_weather><parameter=days>soon</parameter></function></tool_call>",
       "T0:get_weather|A0:{\"days\": \"soon\"}|"},
      {kXml,
       "<tool_call><function=get_weather><parameter=city>007</parameter></function></tool_call>",
       "T0:get_weather|A0:{\"city\": \"007\"}|"},
      {kXml, "<tool_call>{\"name\": \"n\"}</tool_call>",
       "C:<tool_call>{\"name\": \"n\"}</tool_call>|"},
      {kXml, "<tool_call><function=></function></tool_call>",
       "C:<tool_call><function=></function></tool_call>|"},
      {kXml,
       "<tool_call><function=f><parameter=a>1</parameter><parameter=a>2</parameter></function></"
       "tool_call>",
       "C:<tool_call><function=f><parameter=a>1</parameter><parameter=a>2</parameter></function></"
       "tool_call>|"},
      {kXml, "<tool_call>\n<function=f>\n<parameter=a>\nxyz\n</para", "T0:f|A0:{\"a\": \"xyz|"},
      {kXml, "<tool_call>\n<function=f>\n</function>", "T0:f|A0:{}|"},
      {kXmlNow,
       "<tool_call>\n<function=f>\n<parameter=a>\nx</parameter "
       "y\n日\n</parameter>\n<parameter=b>\n2\n</parameter>\n"
       "</function>\n</tool_call>ok",
       "T0:f|A0:{\"a\": \"x</parameter y\\n日\", \"b\": \"2\"}|C:ok|"},
      {kXmlNow, "<tool_call><function=f><parameter=a>x</parameter> bad",
       "T0:f|A0:{\"a\": \"x\"|C: bad|"},
  };
  return cases;
}

TEST(OutputParserTest, SplitsReasoningContentAndCalls) {
  for (const ParserCase& c : Cases())
    EXPECT_EQ(Show(ParseCut(c.format, c.text, {})), c.expected) << c.text;
}

TEST(OutputParserTest, StreamedEqualsWholeForEverySplit) {
  std::mt19937_64 random(1);
  for (const ParserCase& c : Cases()) {
    SCOPED_TRACE(c.text);
    std::vector<size_t> every;
    for (size_t i = 0; i < c.text.size(); ++i) {
      every.push_back(i);
      EXPECT_EQ(Show(ParseCut(c.format, c.text, {i})), c.expected) << "cut at " << i;
    }
    EXPECT_EQ(Show(ParseCut(c.format, c.text, every)), c.expected);
    for (int round = 0; round < 60; ++round) {
      std::vector<size_t> cuts;
      for (size_t i : every) {
        if (random() % 4 == 0) cuts.push_back(i);
      }
      ASSERT_EQ(Show(ParseCut(c.format, c.text, cuts)), c.expected);
    }
  }
}

// All 2^n ways of cutting, for texts short enough.
TEST(OutputParserTest, AllWaysOfCuttingAgree) {
  for (const auto& [format, text] :
       std::vector<std::pair<OutputFormat, std::string>>{{kThink, "<think>é</th"},
                                                         {kInside, "é\n</think>\nx"},
                                                         {kHermes, "é\n<tool_call>x"},
                                                         {kHermes, "<<tool_call>{"}}) {
    const std::string expected = Show(ParseCut(format, text, {}));
    ASSERT_LE(text.size(), 16u);
    for (uint32_t cut_bits = 0; cut_bits < (1u << text.size()); ++cut_bits) {
      std::vector<size_t> cuts;
      for (size_t i = 0; i < text.size(); ++i) {
        if ((cut_bits >> i & 1) != 0) cuts.push_back(i);
      }
      ASSERT_EQ(Show(ParseCut(format, text, cuts)), expected) << cut_bits;
    }
  }
}

TEST(OutputParserTest, LongArgumentsAreStreamed) {
  for (const OutputFormat& format : {kHermes, kXml}) {
    const bool xml = format.tool_calls == ToolCallFormat::kXml;
    OutputParser parser(format, Tools());
    parser.Feed(xml ? "<tool_call><function=f><parameter=a>"
                    : "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"");
    std::string arguments;
    int num_deltas = 0;
    for (int i = 0; i < 500; ++i) {
      for (const OutputDelta& d : parser.Feed("0123456789")) {
        if (d.kind == Kind::kToolCallArguments) {
          arguments += d.text;
          ++num_deltas;
        }
      }
    }
    EXPECT_GT(num_deltas, 300);
    EXPECT_GT(arguments.size(), 4900u);
    for (const OutputDelta& d :
         parser.Feed(xml ? "</parameter></function></tool_call>" : "\"}}</tool_call>"))
      arguments += d.text;
    EXPECT_EQ(nlohmann::json::parse(arguments)["a"].get<std::string>().size(), 5000u);
    EXPECT_EQ(parser.num_tool_calls(), 1);
    EXPECT_TRUE(parser.Finish().empty());
  }
}

TEST(OutputParserTest, ACallWithoutNameIsContentWhenItGrowsTooLong) {
  OutputParser parser(kHermes, Tools());
  const std::string text = "<tool_call>{\"x\": \"" + std::string(kToolCallBytesMax + 100, 'y');
  std::string content;
  for (const OutputDelta& d : parser.Feed(text)) content += d.text;
  EXPECT_GT(content.size(), kToolCallBytesMax);
  for (const OutputDelta& d : parser.Finish()) content += d.text;
  EXPECT_EQ(content, text);
}

TEST(ChooseOutputFormatTest, ByTemplateAndPrompt) {
  const std::string hermes = "... <tool_call>\\n{\"name\": ... </think> ...";
  const std::string xml = "... <tool_call>\\n<function=example> ... </think>";
  EXPECT_EQ(ChooseOutputFormat(hermes, "assistant\n", true).tool_calls, ToolCallFormat::kHermes);
  EXPECT_EQ(ChooseOutputFormat(xml, "assistant\n", true).tool_calls, ToolCallFormat::kXml);
  EXPECT_EQ(ChooseOutputFormat(xml, "assistant\n", false).tool_calls, ToolCallFormat::kNone);
  EXPECT_EQ(ChooseOutputFormat("plain", "assistant\n", true).tool_calls, ToolCallFormat::kNone);
  EXPECT_EQ(ChooseOutputFormat(hermes, "assistant\n", true).reasoning, ReasoningFormat::kThinkTags);
  EXPECT_EQ(ChooseOutputFormat(hermes, "assistant\n<think>\n", true).reasoning,
            ReasoningFormat::kStartsInside);
  EXPECT_EQ(ChooseOutputFormat(hermes, "<think>\n\n</think>\n\n", true).reasoning,
            ReasoningFormat::kNone);
  EXPECT_EQ(ChooseOutputFormat("plain", "assistant\n", true).reasoning, ReasoningFormat::kNone);
}

TEST(ToolTypesTest, RefusesWhatIsNoListOfTools) {
  EXPECT_THAT(ToolTypes::From(nlohmann::json::parse("{}")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be a list")));
  EXPECT_THAT(ToolTypes::From(nlohmann::json::parse(R"([{"type":"function"}])")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tools[0]")));
  EXPECT_OK(ToolTypes::From(nlohmann::json()));
}

}  // namespace
}  // namespace oneai::serving
