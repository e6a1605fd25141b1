#include <algorithm>

#include "nlohmann/json.hpp"
#include "serving/text/output_parser.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::serving;  // NOLINT: a test's main namespace

namespace {

struct Seen {
  std::string shape;  // kinds and texts in order, neighbours joined
  std::string last;
  std::string content;
  std::vector<std::string> arguments;
};

void Add(const std::vector<OutputDelta>& deltas, Seen& seen) {
  for (const OutputDelta& d : deltas) {
    std::string label =
        std::to_string(static_cast<int>(d.kind)) + ":" + std::to_string(d.index) + d.name;
    if (d.kind == OutputDelta::Kind::kToolCallStart) {
      seen.arguments.emplace_back();
      seen.last.clear();
    }
    if (label != seen.last) seen.shape += "\x01" + label + "\x01";
    seen.last = label;
    seen.shape += d.text;
    if (d.kind == OutputDelta::Kind::kToolCallArguments) seen.arguments[d.index] += d.text;
    if (d.kind == OutputDelta::Kind::kContent) seen.content += d.text;
  }
}

Seen Parse(const OutputFormat& format, const ToolTypes& types, absl::string_view text,
           size_t piece) {
  OutputParser parser(format, types);
  Seen seen;
  while (!text.empty()) {
    Add(parser.Feed(text.substr(0, piece)), seen);
    text.remove_prefix(std::min(piece, text.size()));
  }
  Add(parser.Finish(), seen);
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const ToolTypes& types = *new ToolTypes(*ToolTypes::From(nlohmann::json::parse(
      R"([{"function":{"name":"f","parameters":{"properties":{"a":{"type":"string"},"b":{"type":"integer"}}}}}])")));
  const OutputFormat format = {.tool_calls = static_cast<ToolCallFormat>(data[0] % 3),
                               .reasoning = static_cast<ReasoningFormat>(data[0] / 3 % 3),
                               .hold_bytes = data[0] % 2 == 0 ? size_t{0} : size_t{1024}};
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Seen whole = Parse(format, types, text, text.size() + 1);
  for (size_t piece : {1, 3, 7})
    ONEAI_FUZZ_CHECK(Parse(format, types, text, piece).shape == whole.shape);
  // Without calls and reasoning everything is content.
  if (whole.arguments.empty() && format.reasoning == ReasoningFormat::kNone)
    ONEAI_FUZZ_CHECK(whole.content == text);
  // Calls before the last one are whole unless they were shown early and then broke.
  if (format.hold_bytes > text.size()) {
    for (size_t i = 0; i + 1 < whole.arguments.size(); ++i) {
      const bool is_ascii =
          std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
      // Ill-formed UTF-8, which the parser passes on, is not JSON to others; nor are lone
      // surrogates.
      if (is_ascii && text.find("\\u") == absl::string_view::npos)
        ONEAI_FUZZ_CHECK(nlohmann::json::accept(whole.arguments[i]));
    }
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs = {
      "4<think>\nhm\n</think>\n\nSure <tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\", "
      "\"b\": [1e5, null]}}\n</tool_call>\n",
      "1<tool_call>{\"arguments\": \"{\\\"a\\\": 1}\", \"name\": "
      "\"f\"}</tool_call><tool_call>{\"name\":\"g\"}</tool_call>",
      "2<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=b>\n3\n</"
      "parameter>\n</function>\n</tool_call>",
      "5reason</think><tool_call><function=g></function></tool_call> tail"};
  seeds.fragments = {"<think>",
                     "</think>",
                     "<tool_call>",
                     "</tool_call>",
                     "<function=f>",
                     "</function>",
                     "<parameter=a>",
                     "<parameter=b>",
                     "</parameter>",
                     "{\"name\": \"f\"",
                     "\"arguments\": {",
                     "}}",
                     "\"",
                     "\\u00",
                     "\n",
                     "<",
                     "</",
                     "<tool_",
                     "-1.5e3",
                     "[",
                     "]",
                     "é"};
  return seeds;
}
