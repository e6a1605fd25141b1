#include "serving/replica/request_builder.h"

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
  EXPECT_TRUE(built.format.is_bare_call);
  EXPECT_NE(built.generation.grammar, nullptr);
  EXPECT_THAT(Spell(built.generation.prompt), ::testing::EndsWith("assistant\n<tool_call>\n"));
  request.mutable_structured()->set_json_object(true);
  EXPECT_THAT(Make().Build(request), StatusIs(kInvalid, HasSubstr("exclude each other")));
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
