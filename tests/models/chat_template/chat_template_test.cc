#include "models/chat_template/chat_template.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Renders `source` with the given variables and no messages.
absl::StatusOr<std::string> RenderWith(absl::string_view source, absl::string_view variables = "{}",
                                       const jinja::RenderLimits& limits = {}) {
  absl::StatusOr<ChatTemplate> chat_template = ChatTemplate::Parse(source);
  if (!chat_template.ok()) return chat_template.status();
  ChatTemplateInput input;
  input.variables = *ParseOrderedJson(variables, "variables");
  return chat_template->Render(input, limits);
}

TEST(ChatTemplateTest, GoldenCasesAreEqualByteForByte) {
  const auto folder = testing::DataDir() / "chat_templates";
  ASSERT_OK_AND_ASSIGN(std::string text, ReadSmallFile(folder / "cases.json", 1 << 24));
  ASSERT_OK_AND_ASSIGN(OrderedJson document, ParseOrderedJson(text, "cases.json"));
  std::map<std::string, ChatTemplate> templates;
  size_t count = 0;
  for (const OrderedJson& item : document["cases"]) {
    const std::string name = item["template"];
    if (!templates.contains(name)) {
      ASSERT_OK_AND_ASSIGN(std::string source,
                           ReadSmallFile(folder / "templates" / (name + ".jinja"), 1 << 20));
      ASSERT_OK_AND_ASSIGN(ChatTemplate parsed, ChatTemplate::Parse(source));
      templates.emplace(name, std::move(parsed));
    }
    ChatTemplateInput input;
    input.messages = item["messages"];
    if (item.contains("tools")) input.tools = item["tools"];
    if (item.contains("variables")) input.variables = item["variables"];
    input.add_generation_prompt = item.value("add_generation_prompt", false);
    input.continue_final_message = item.value("continue_final_message", false);
    const absl::StatusOr<std::string> rendered = templates.at(name).Render(input);
    if (item.contains("error")) {
      EXPECT_THAT(rendered, StatusIs(kInvalid, HasSubstr(item["error"].get<std::string>())))
          << item["name"];
    } else {
      ASSERT_OK(rendered) << item["name"];
      EXPECT_EQ(*rendered, item["rendered"].get<std::string>()) << item["name"];
    }
    ++count;
  }
  EXPECT_GE(count, 80u);
}

TEST(ChatTemplateTest, DefaultTemplateIsChatMl) {
  ASSERT_OK_AND_ASSIGN(ChatTemplate chat_template, ChatTemplate::Parse(DefaultChatTemplate()));
  ChatTemplateInput input;
  input.messages = {{{"role", "system"}, {"content", "s"}}, {{"role", "user"}, {"content", "u"}}};
  input.add_generation_prompt = true;
  EXPECT_EQ(
      *chat_template.Render(input),
      "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
}

struct Example {
  const char *source, *want;
};

TEST(ChatTemplateTest, LanguageMeansWhatJinjaMeans) {
  const Example kExamples[] = {
      // White space.
      {"a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc"},
      {"a {%- if true -%} b {%- endif %} c", "ab c"},
      {"  {%+ if true %}x{% endif %}", "  x"},
      {"{{ 'x' }}\ny\n", "x\ny"},
      {"{# note #}\nx{#- y -#}  z", "xz"},
      {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
      // Operators and precedence.
      {"{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }}",
       "7 3 -4 2 3.5 1024"},
      {"{{ 'a' ~ 1 ~ none ~ true }}", "a1NoneTrue"},
      {"{{ 1 == 1.0 and not 'a' in 'bc' and 'a' not in ['b'] }}", "True"},
      {"{{ 'x' if false }}|{{ 'x' if true else 'y' }}", "|x"},
      {"{{ 1 if a is defined else 2 }}{{ not a is defined }}", "2True"},
      // Values.
      {"{{ [1, 'a', 1.0, none, {'k': \"it's\"}] }}", "[1, 'a', 1.0, None, {'k': \"it's\"}]"},
      {"{{ 1e-7 }} {{ 1e16 }} {{ 123456789012345.0 }}", "1e-07 1e+16 123456789012345.0"},
      {"{{ 'abc'[::-1] }}{{ 'abc'[1:] }}{{ [1,2,3][-1] }}{{ 'héé'|length }}", "cbabc33"},
      {"{{ 'a\\n\\u00e9\\x41' 'b' }}", "a\néAb"},
      {"{{ {'b': 1, 'a': [true, null_, 'é\"<']}|tojson }}", "fails"},
      {"{{ {'b': 1, 'a': [true, none, 'é\"<']}|tojson }}",
       "{\"b\": 1, \"a\": [true, null, \"é\\\"<\"]}"},
      {"{{ {'a': [1]}|tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ]\n}"},
      // Scopes: a loop's assignments do not outlive an iteration; a namespace's do.
      {"{% set x = 0 %}{% for i in [1, 2] %}{{ x }}{% set x = i %}{% endfor %}{{ x }}", "000"},
      {"{% set n = namespace(x=0) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x "
       "}}",
       "3"},
      {"{% if true %}{% set y = 5 %}{% endif %}{{ y }}", "5"},
      {"{% set a, b = [1, 2] %}{{ b }}{{ a }}{% set t %}x{{ a }}{% endset %}{{ t }}", "21x1"},
      // Loops.
      {"{% for x in [1,2,3] %}{{ loop.index }}{{ loop.last }} {% endfor %}",
       "1False 2False 3True "},
      {"{% for x in [1,2,3,4] if x is even %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}",
       "2242"},
      {"{% for x in [] %}{% else %}none{% endfor %}", "none"},
      {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"},
      {"{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break "
       "%}{% endif %}"
       "{{ x }}{% endfor %}",
       "13"},
      {"{% for x in undefined_thing %}x{% endfor %}{{ undefined_thing }}", ""},
      {"{% for x in [1,2] %}{{ loop.previtem is defined }}{{ loop.cycle('a', 'b') }}{% endfor %}",
       "FalseaTrueb"},
      // Macros see globals, not the caller's variables.
      {"{% macro f(a, b=2) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{% for c in [9] %}{{ f(1) }}{{ "
       "f(1, b=3) }}"
       "{% endfor %}",
       "1213"},
      // Methods and filters.
      {"{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',', 1) }}|{{ ' a  b "
       "'.split() }}",
       "a b|a|['a', 'b,c']|['a', 'b']"},
      {"{{ 'abc'.startswith(('x', 'a')) }}{{ 'aXa'.replace('a', 'b') }}{{ 'éa'.upper() }}{{ "
       "'héa'.find('a') }}",
       "TruebXbÉA2"},
      {"{{ ['a', 'b']|join('-') }}{{ x|default('d') }}{{ [3]|first }}{{ 'a b'|title }}{{ '5'|int + "
       "1 }}",
       "a-bd3A B6"},
      {"{{ [{'r': 'u'}, {'r': 'a'}]|selectattr('r', 'equalto', 'a')|list|length }}", "1"},
      {"{{ [{'r': 'u'}, {'r': 'a'}]|map(attribute='r')|join }}", "ua"},
      {"{{ {'a': 1}.get('b', 2) }}{{ {'items': 5}['items'] }}{{ {'x': 1}|items|list }}",
       "25[['x', 1]]"},
      {"{% generation %}x{% endgeneration %}", "x"},
      {"{{ strftime_now('%Y-%m-%d') }}", "1970-01-01"},
      {"{{ range(3)|list }}{{ 5 is divisibleby 5 }}{{ 'a' is in ['a'] }}", "[0, 1, 2]TrueTrue"},
  };
  for (const Example& example : kExamples) {
    const absl::StatusOr<std::string> got = RenderWith(example.source);
    if (std::string(example.want) == "fails") {
      EXPECT_THAT(got, StatusIs(kInvalid, HasSubstr("JSON"))) << example.source;
    } else if (got.ok()) {
      EXPECT_EQ(*got, example.want) << example.source;
    } else {
      ADD_FAILURE() << example.source << ": " << got.status();
    }
  }
}

TEST(ChatTemplateTest, MistakesNameTheLine) {
  const std::pair<const char*, const char*> kMistakes[] = {
      {"a\n{% if x %}", "line 2: '{% endif %}' is missing"},
      {"\n\n{{ x.y.z }}", "line 3: 'x' is undefined"},
      {"{{ 'a' + 1 }}", "cannot apply '+' to str and int"},
      {"{{ }}", "expected an expression"},
      {"{{ 'a }}", "string is not closed"},
      {"{% frob %}", "unknown or misplaced tag 'frob'"},
      {"{% for x in none %}{% endfor %}", "NoneType"},
      {"{{ 1 // 0 }}", "division by zero"},
      {"{{ raise_exception('no way') }}", "the chat template refuses these messages: no way"},
      {"{% set x.y = 1 %}", "is not a namespace"},
      {"{% set n = namespace() %}{% set n.x = [n] %}", "cannot be stored"},
      {"{{ x() }}", "cannot be called"},
  };
  for (const auto& [source, message] : kMistakes)
    EXPECT_THAT(RenderWith(source), StatusIs(kInvalid, HasSubstr(message))) << source;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  EXPECT_THAT(RenderWith("{% include 'x' %}"), StatusIs(kUnimplemented, HasSubstr("'include'")));
  EXPECT_THAT(RenderWith("{{ x|frobnicate }}"),
              StatusIs(kUnimplemented, HasSubstr("'frobnicate'")));
}

TEST(ChatTemplateTest, EveryExpenseIsBounded) {
  constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
  const char* kHungry[] = {
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% "
      "endfor %}",
      "{{ 'a' * 1000000000000 }}",
      "{{ range(1000000000000) }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% set s = 'aaaaaaaaaa' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}",
      "{% set n = namespace(x=[0,0,0,0]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% "
      "endfor %}",
  };
  for (const char* source : kHungry)
    EXPECT_THAT(RenderWith(source), StatusIs(kExhausted, HasSubstr("")));
  EXPECT_THAT(RenderWith("{{ " + std::string(500, '(') + "1" + std::string(500, ')') + " }}"),
              StatusIs(kInvalid, HasSubstr("nested deeper")));
  EXPECT_THAT(
      RenderWith("{% set n = namespace(x=[]) %}{% for i in range(1000) %}{% set n.x = [n.x] %}"
                 "{% endfor %}{{ n.x }}"),
      StatusIs(kInvalid, HasSubstr("nested too deep")));
}

TEST(ChatTemplateTest, RefusesMessagesOfTheWrongShape) {
  ASSERT_OK_AND_ASSIGN(ChatTemplate chat_template, ChatTemplate::Parse(DefaultChatTemplate()));
  ChatTemplateInput input;
  input.messages = "hello";
  EXPECT_THAT(chat_template.Render(input), StatusIs(kInvalid, HasSubstr("must be a list")));
  input.messages = {{{"role", "user"}, {"content", nullptr}}};
  EXPECT_THAT(chat_template.Render(input), StatusIs(kInvalid, HasSubstr("NoneType")));
  input.messages = {{{"role", "user"}, {"content", "hi"}}};
  input.continue_final_message = input.add_generation_prompt = true;
  EXPECT_THAT(chat_template.Render(input), StatusIs(kInvalid, HasSubstr("exclude")));
}

}  // namespace
}  // namespace oneai::models
