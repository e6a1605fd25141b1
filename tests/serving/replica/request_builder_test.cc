#include "serving/replica/request_builder.h"

#include "serving/grammar/grammar_matcher.h"
#include "serving/replica/tool_choice.h"
#include "tests/serving/byte_tokenizer.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::HasSubstr;

const auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kTools[] =
    R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}}])";

class RequestBuilderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(PromptBuilder prompts,
                         PromptBuilder::Create(NewByteTokenizer(), models::TokenizerConfig()));
    prompts_ = std::make_unique<PromptBuilder>(std::move(prompts));
    ASSERT_OK_AND_ASSIGN(
        std::shared_ptr<const TokenVocabulary> vocabulary,
        TokenVocabulary::Create(prompts_->tokenizer(), {kEndToken}, kNumByteTokens));
    grammars_ = std::make_unique<GrammarCache>(std::move(vocabulary), GrammarLimits(), 4);
  }
  RequestBuilder Make(ModelTask task = ModelTask::kGenerate) const {
    ReplicaModel model;
    model.name = "m";
    model.task = task;
    model.adapters = {{"law", 3}};
    model.max_context_tokens = 200;
    model.hidden_size = 8;
    return RequestBuilder(model, prompts_.get(), grammars_.get());
  }
  static v1::ChatRequest Chat() {
    v1::ChatRequest request;
    request.add_messages()->set_role("user");
    request.mutable_messages(0)->set_content("hi");
    return request;
  }
  std::string Spell(const std::vector<int32_t>& tokens) const {
    return prompts_->tokenizer().Decode(tokens, models::SpecialText::kKeep);
  }

  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<GrammarCache> grammars_;
};

TEST_F(RequestBuilderTest, AdaptersByEitherName) {
  v1::CompletionRequest request;
  request.set_text("x");
  EXPECT_EQ(Make().Build(request)->generation.adapter, -1);
  request.set_model("m:law");
  EXPECT_EQ(Make().Build(request)->generation.adapter, 3);
  request.set_model("m");
  request.set_adapter("law");
  EXPECT_EQ(Make().Build(request)->generation.adapter, 3);
  request.set_adapter("poems");
  EXPECT_THAT(Make().Build(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("law")));
  request.set_model("m:law");
  EXPECT_THAT(Make().Build(request), StatusIs(kInvalid, HasSubstr("poems")));
  request.set_model("other");
  EXPECT_THAT(Make().Build(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("serves m")));
}

TEST_F(RequestBuilderTest, AModelAnswersItsOwnCallsOnly) {
  v1::EmbedRequest embed;
  embed.add_inputs()->set_text("a");
  EXPECT_THAT(Make().Build(embed), StatusIs(absl::StatusCode::kFailedPrecondition,
                                            HasSubstr("an embedding needs one that embeds")));
  EXPECT_THAT(Make(ModelTask::kEmbed).Build(Chat()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a chat")));
  ASSERT_OK_AND_ASSIGN(const auto requests, Make(ModelTask::kEmbed).Build(embed));
  EXPECT_EQ(requests[0].kind, RequestKind::kHidden);
  embed.set_dimensions(9);
  EXPECT_THAT(Make(ModelTask::kEmbed).Build(embed),
              StatusIs(kInvalid, HasSubstr("dimensions is 9; it must be from 1 to 8")));
  EXPECT_THAT(Make(ModelTask::kEmbed).Build(v1::EmbedRequest()),
              StatusIs(kInvalid, HasSubstr("inputs has 0 entries")));
  // The byte tokenizer has no tokens "yes" and "no".
  v1::RerankRequest rerank;
  rerank.add_documents("d");
  EXPECT_THAT(Make(ModelTask::kRerank).Build(rerank),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"yes\"")));
}

TEST_F(RequestBuilderTest, AStructuredAnswerHasItsGrammar) {
  v1::ChatRequest request = Chat();
  request.mutable_structured()->set_regex("[ab]+");
  ASSERT_OK_AND_ASSIGN(const BuiltRequest built, Make().Build(request));
  EXPECT_NE(built.generation.grammar, nullptr);
  request.mutable_structured()->set_regex("[ab");
  EXPECT_THAT(Make().Build(request), StatusIs(kInvalid, HasSubstr("")));
}

TEST_F(RequestBuilderTest, AForcedCallBeginsInThePrompt) {
  v1::ChatRequest request = Chat();
  request.set_tools_json(kTools);
  request.set_tool_choice("g");
  ASSERT_OK_AND_ASSIGN(const BuiltRequest built, Make().Build(request));
  EXPECT_EQ(built.format.unwritten_begin, "<tool_call>\n");
  EXPECT_EQ(built.format.unwritten_end, "\n</tool_call>");
  EXPECT_NE(built.generation.grammar, nullptr);
  EXPECT_THAT(Spell(built.generation.prompt), ::testing::EndsWith("assistant\n<tool_call>\n"));
  request.mutable_structured()->set_json_object(true);
  EXPECT_THAT(Make().Build(request), StatusIs(kInvalid, HasSubstr("exclude each other")));
}

// A template that opens thoughts, may open them, or has closed them.
class ThinkingRequestTest : public RequestBuilderTest {
 protected:
  BuiltRequest BuildWith(const std::string& prompt_end, const v1::ChatRequest& request) {
    models::TokenizerConfig config;
    config.chat_template =
        "{%- set form = '<think></think>' %}{{ messages[0].content }}" + prompt_end;
    absl::StatusOr<PromptBuilder> prompts = PromptBuilder::Create(NewByteTokenizer(), config);
    EXPECT_OK(prompts);
    prompts_ = std::make_unique<PromptBuilder>(*std::move(prompts));
    absl::StatusOr<BuiltRequest> built = Make().Build(request);
    EXPECT_OK(built);
    return *std::move(built);
  }
  static bool Fits(const BuiltRequest& built, absl::string_view text) {
    GrammarMatcher matcher(built.generation.grammar);
    for (const char c : text) {
      if (!matcher.Accept(static_cast<uint8_t>(c))) return false;
    }
    return matcher.CanEnd();
  }
};

TEST_F(ThinkingRequestTest, AStructuredAnswerComesAfterTheThoughts) {
  v1::ChatRequest request = Chat();
  request.mutable_structured()->set_regex("[ab]+");
  const BuiltRequest opened = BuildWith("<think>\n", request);
  EXPECT_TRUE(Fits(opened, "hm </thin or\n</think>\n\nab"));
  EXPECT_FALSE(Fits(opened, "ab"));
  EXPECT_FALSE(Fits(opened, "hm</think>ab"));
  EXPECT_THAT(Spell(opened.generation.prompt), ::testing::EndsWith("<think>"));
  const BuiltRequest may_open = BuildWith("", request);
  EXPECT_TRUE(Fits(may_open, "<think>hm</think>\n\nab"));
  EXPECT_TRUE(Fits(may_open, "ab"));
  EXPECT_FALSE(Fits(may_open, "hm</think>\n\nab"));
  const BuiltRequest closed = BuildWith("<think>\n\n</think>\n\n", request);
  EXPECT_TRUE(Fits(closed, "ab"));
  EXPECT_FALSE(Fits(closed, "<think>hm</think>\n\nab"));
}

TEST_F(ThinkingRequestTest, AForcedCallComesAfterTheThoughts) {
  v1::ChatRequest request = Chat();
  request.set_tools_json(kTools);
  request.set_tool_choice("f");
  const BuiltRequest built = BuildWith("<think>\n", request);
  EXPECT_TRUE(Fits(built, R"(hm</think>

<tool_call>
{"name":"f","arguments":{}})"));
  EXPECT_EQ(built.format.unwritten_begin, "");
  EXPECT_EQ(built.format.unwritten_end, "\n</tool_call>");
  EXPECT_EQ(built.format.output.reasoning, ReasoningFormat::kStartsInside);
  EXPECT_EQ(built.format.output.tool_calls, ToolCallFormat::kHermes);
}

TEST_F(ThinkingRequestTest, ThoughtsMayHaveABudget) {
  v1::ChatRequest request = Chat();
  request.set_template_variables_json(R"({"thinking_budget": 9})");
  const BuiltRequest built = BuildWith("<think>\n", request);
  EXPECT_EQ(built.generation.thoughts.tokens_max, 9);
  EXPECT_TRUE(built.generation.thoughts.are_opened);
  EXPECT_EQ(Spell(built.generation.thoughts.closing), "\n</think>");
  EXPECT_EQ(BuildWith("</think>", request).generation.thoughts.tokens_max, -1);
  for (const char* bad : {R"({"thinking_budget": -1})", R"({"thinking_budget": "9"})"}) {
    request.set_template_variables_json(bad);
    EXPECT_THAT(Make().Build(request), StatusIs(kInvalid, HasSubstr("thinking_budget is")));
  }
}

TEST(ToolChoiceTest, WhatTheModelMayDo) {
  EXPECT_FALSE(ReadToolChoice("", "")->offered);
  EXPECT_TRUE(ReadToolChoice(kTools, "")->offered);
  EXPECT_TRUE(ReadToolChoice(kTools, "auto")->call_schema.empty());
  EXPECT_FALSE(ReadToolChoice(kTools, "none")->offered);
  EXPECT_EQ(ReadToolChoice(kTools, "g")->call_schema,
            R"({"type":"object","properties":{"name":{"const":"g"},"arguments":{"type":"object"}},)"
            R"("required":["name","arguments"],"additionalProperties":false})");
  EXPECT_THAT(ReadToolChoice(kTools, "required")->call_schema, HasSubstr("anyOf"));
  EXPECT_THAT(ReadToolChoice(kTools, "h"),
              StatusIs(kInvalid, HasSubstr("none of the tools: f, g")));
  EXPECT_THAT(ReadToolChoice("", "required"), StatusIs(kInvalid, HasSubstr("no tools")));
  EXPECT_THAT(ReadToolChoice("[{}]", "auto"), StatusIs(kInvalid, HasSubstr("tools[0]")));
}

}  // namespace
}  // namespace oneai::serving
