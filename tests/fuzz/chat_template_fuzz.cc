#include "models/chat_template/chat_template.h"
#include "models/json/json_reader.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/testing/paths.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view source(reinterpret_cast<const char*>(data), size);
  const auto chat_template = ChatTemplate::Parse(source);
  if (!chat_template.ok()) return 0;
  ChatTemplateInput input;
  input.messages = {
      {{"role", "system"}, {"content", "s"}},
      {{"role", "user"}, {"content", "<think>u</think>"}},
      {{"role", "assistant"},
       {"content", ""},
       {"tool_calls",
        OrderedJson::array({{{"function", {{"name", "f"}, {"arguments", {{"a", 1}}}}}}})}},
      {{"role", "tool"}, {"content", {{{"type", "text"}, {"text", "t"}}}}}};
  input.tools = OrderedJson::array({{{"type", "function"}, {"function", {{"name", "f"}}}}});
  input.add_generation_prompt = true;
  const jinja::RenderLimits limits{.steps_max = 20'000,
                                   .bytes_made_max = 1 << 20,
                                   .output_bytes_max = 1 << 18,
                                   .call_depth_max = 8};
  const auto text = chat_template->Render(input, limits);
  if (text.ok()) ONEAI_FUZZ_CHECK(text->size() <= static_cast<size_t>(limits.output_bytes_max));
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  for (const char* name : {"qwen2_5", "qwen2_5_vl", "qwen3", "qwen3_5", "qwen3_coder"})
    if (auto text = ReadSmallFile(oneai::testing::DataDir() / "chat_templates" / "templates" /
                                      (std::string(name) + ".jinja"),
                                  1 << 20);
        text.ok())
      seeds.inputs.push_back(*std::move(text));
  seeds.inputs.emplace_back(DefaultChatTemplate());
  seeds.inputs.emplace_back(
      "{% macro f(a, b=[1, 2]) %}{{ a ~ b[::-1] }}{% endmacro %}{% set n = namespace(x={'k': 1}) %}"
      "{% for k, v in n.x.items() if v is odd %}{{ f(k|upper, b=v) }}{% else %}-{% endfor %}");
  seeds.fragments = {"{% for x in messages %}",
                     "{% endfor %}",
                     "{% if x %}",
                     "{% endif %}",
                     "{{ ",
                     " }}",
                     "{% set n.x = [n.x] %}",
                     "|tojson",
                     "[::-1]",
                     "**",
                     "// 0",
                     "9223372036854775807",
                     "-1",
                     "'a' * 99999999",
                     "range(99999999)",
                     "((((((((",
                     "loop.previtem",
                     "{% raw %}",
                     "{#",
                     "-%}",
                     "{%-",
                     "~",
                     "is not string",
                     "\\u12",
                     "\xff",
                     ".items()",
                     "f("};
  return seeds;
}
