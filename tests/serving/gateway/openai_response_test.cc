#include "serving/gateway/openai_response.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serving/wire/collect_answer.h"

namespace oneai::serving {
namespace {

using inference::v1::GenerationChunk;
using inference::v1::GenerationResponse;

const AnswerHead kChat = {OpenAiApi::kChat, "r1", "m", 1700000000, false};

TEST(OpenAiResponseTest, WholeChatHasOpenAisShape) {
  GenerationResponse response;
  inference::v1::Choice& choice = *response.add_choices();
  choice.set_text("hi");
  choice.set_finish_reason(inference::v1::STOP);
  response.mutable_usage()->set_prompt_tokens(3);
  response.mutable_usage()->set_completion_tokens(2);
  EXPECT_EQ(
      WholeAnswerJson(kChat, response),
      R"({"id":"chatcmpl-r1","object":"chat.completion","created":1700000000,"model":"m",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},)"
      R"("logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,)"
      R"("completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0}}})");
}

TEST(OpenAiResponseTest, WholeCompletionHasText) {
  GenerationResponse response;
  response.add_choices()->set_text("hi");
  response.mutable_choices(0)->set_finish_reason(inference::v1::LENGTH);
  const auto json =
      nlohmann::json::parse(WholeAnswerJson({OpenAiApi::kCompletion, "r1", "m", 1}, response));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["id"], "cmpl-r1");
  EXPECT_EQ(json["choices"][0]["text"], "hi");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
}

TEST(OpenAiResponseTest, TheFirstChatChunkOfAChoiceCarriesTheRole) {
  StreamFrames frames(kChat);
  GenerationChunk chunk;
  chunk.set_text("h");
  EXPECT_EQ(
      frames.Write(chunk),
      "data: {\"id\":\"chatcmpl-r1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
      "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
      "\"h\"},"
      "\"logprobs\":null,\"finish_reason\":null}]}\n\n");
  EXPECT_EQ(frames.Write(chunk).find("role"), std::string::npos);
  chunk.set_choice(1);
  const std::string other = frames.Write(chunk);
  EXPECT_NE(other.find("role"), std::string::npos);
  EXPECT_NE(other.find("\"index\":1"), std::string::npos);
}

TEST(OpenAiResponseTest, AChunkWithoutTextSaysNothing) {
  StreamFrames frames(kChat);
  frames.Write(GenerationChunk());
  EXPECT_EQ(frames.Write(GenerationChunk()), "");
}

TEST(OpenAiResponseTest, UsageIsAnExtraLastChunkAndNullBefore) {
  AnswerHead head = kChat;
  head.include_usage = true;
  StreamFrames writer(head);
  GenerationChunk chunk;
  chunk.set_text("x");
  EXPECT_THAT(writer.Write(chunk), ::testing::HasSubstr("\"usage\":null"));
  chunk.set_finish_reason(inference::v1::LENGTH);
  chunk.mutable_usage()->set_completion_tokens(4);
  const std::string frames = writer.Write(chunk);
  const size_t second = frames.find("data: ", 6);
  ASSERT_NE(second, std::string::npos);
  EXPECT_THAT(frames.substr(0, second), ::testing::HasSubstr("\"finish_reason\":\"length\""));
  const auto usage = nlohmann::json::parse(frames.substr(second + 6));
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 4);
}

GenerationChunk ToolChunk() {
  GenerationChunk chunk;
  chunk.set_reasoning("hm");
  inference::v1::ToolCallDelta& begin = *chunk.add_tool_calls();
  begin.set_id("call_1");
  begin.set_name("weather");
  chunk.add_tool_calls()->set_arguments_json("{}");
  chunk.set_finish_reason(inference::v1::TOOL_CALLS);
  return chunk;
}

TEST(OpenAiResponseTest, ToolCallsAndReasoningStreamed) {
  StreamFrames frames(kChat);
  const auto json = nlohmann::json::parse(frames.Write(ToolChunk()).substr(6));
  const auto& choice = json["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["delta"]["reasoning_content"], "hm");
  EXPECT_EQ(choice["delta"]["tool_calls"].dump(),
            R"([{"function":{"arguments":"","name":"weather"},"id":"call_1","index":0,)"
            R"("type":"function"},{"function":{"arguments":"{}"},"index":0}])");
}

TEST(OpenAiResponseTest, ToolCallsAndReasoningWhole) {
  GenerationResponse response;
  AddChunk(ToolChunk(), response);
  const auto json = nlohmann::json::parse(WholeAnswerJson(kChat, response));
  const auto& message = json["choices"][0]["message"];
  EXPECT_TRUE(message["content"].is_null());
  EXPECT_EQ(message["reasoning_content"], "hm");
  EXPECT_EQ(
      message["tool_calls"].dump(),
      R"([{"function":{"arguments":"{}","name":"weather"},"id":"call_1","type":"function"}])");
}

void SetToken(inference::v1::TokenLogProb& token, const char* text, float value) {
  token.set_token(text);
  token.set_logprob(value);
}

TEST(OpenAiResponseTest, LogProbsOfAChatHaveBytes) {
  GenerationResponse response;
  SetToken(*response.add_choices()->add_logprobs(), "\xc3", -0.5f);
  const auto json = nlohmann::json::parse(WholeAnswerJson(kChat, response));
  const auto& token = json["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(token["bytes"].dump(), "[195]");
  EXPECT_EQ(token["logprob"], -0.5);
  EXPECT_TRUE(token["top_logprobs"].empty());
}

TEST(OpenAiResponseTest, LogProbsOfACompletionCountOffsetsInCharacters) {
  StreamFrames frames({OpenAiApi::kCompletion, "r1", "m", 1});
  GenerationChunk chunk;
  chunk.set_text("é");
  SetToken(*chunk.add_logprobs(), "é", -1);
  frames.Write(chunk);
  chunk.set_text("ab");
  chunk.clear_logprobs();
  SetToken(*chunk.add_logprobs(), "a", -1);
  SetToken(*chunk.add_logprobs(), "b", -1);
  const auto json = nlohmann::json::parse(frames.Write(chunk).substr(6));
  EXPECT_EQ(json["choices"][0]["logprobs"]["text_offset"].dump(), "[1,2]");
  EXPECT_EQ(json["choices"][0]["logprobs"]["tokens"].dump(), R"(["a","b"])");
}

TEST(OpenAiResponseTest, ErrorsMapToHttp) {
  const std::pair<absl::Status, int> cases[] = {
      {absl::InvalidArgumentError("x"), 400},   {absl::UnauthenticatedError("x"), 401},
      {absl::PermissionDeniedError("x"), 403},  {absl::NotFoundError("x"), 404},
      {absl::ResourceExhaustedError("x"), 429}, {absl::CancelledError("x"), 499},
      {absl::InternalError("x"), 500},          {absl::UnimplementedError("x"), 501},
      {absl::UnavailableError("x"), 503},       {absl::AbortedError("x"), 503},
      {absl::DeadlineExceededError("x"), 504}};
  for (const auto& [status, code] : cases) {
    const HttpResponse response = ErrorResponse(status);
    EXPECT_EQ(response.status, code) << status;
    const auto error = nlohmann::json::parse(response.body)["error"];
    EXPECT_EQ(error["message"], "x");
    for (const char* key : {"type", "param", "code"}) EXPECT_TRUE(error.contains(key)) << key;
  }
}

TEST(OpenAiResponseTest, OverloadSaysWhenToComeBack) {
  const HttpResponse response = ErrorResponse(absl::ResourceExhaustedError("x"));
  EXPECT_THAT(response.headers, ::testing::Contains(::testing::Pair("Retry-After", "1")));
}

TEST(OpenAiResponseTest, InvalidUtf8DoesNotBreakTheJson) {
  GenerationResponse response;
  response.add_choices()->set_text("a\xff");
  EXPECT_TRUE(nlohmann::json::accept(WholeAnswerJson(kChat, response)));
}

}  // namespace
}  // namespace oneai::serving
