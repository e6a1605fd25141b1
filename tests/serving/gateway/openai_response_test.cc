#include "serving/gateway/openai_response.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

using inference::v1::GenerationChunk;
using inference::v1::GenerationResponse;

const AnswerHead kChat = {OpenAiApi::kChat, "r1", "m", 1700000000, false};

TEST(OpenAiResponseTest, WholeChatHasOpenAisShape) {
  GenerationResponse response;
  response.set_text("hi");
  response.set_finish_reason(inference::v1::STOP);
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
  response.set_text("hi");
  response.set_finish_reason(inference::v1::LENGTH);
  const auto json =
      nlohmann::json::parse(WholeAnswerJson({OpenAiApi::kCompletion, "r1", "m", 1}, response));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["id"], "cmpl-r1");
  EXPECT_EQ(json["choices"][0]["text"], "hi");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
}

TEST(OpenAiResponseTest, TheFirstChatChunkCarriesTheRole) {
  GenerationChunk chunk;
  chunk.set_text("h");
  EXPECT_EQ(
      ChunkFrames(kChat, chunk, true),
      "data: {\"id\":\"chatcmpl-r1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
      "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
      "\"h\"},"
      "\"logprobs\":null,\"finish_reason\":null}]}\n\n");
  EXPECT_EQ(ChunkFrames(kChat, chunk, false).find("role"), std::string::npos);
}

TEST(OpenAiResponseTest, AChunkWithoutTextSaysNothing) {
  EXPECT_EQ(ChunkFrames(kChat, GenerationChunk(), false), "");
}

TEST(OpenAiResponseTest, UsageIsAnExtraLastChunkAndNullBefore) {
  AnswerHead head = kChat;
  head.include_usage = true;
  GenerationChunk chunk;
  chunk.set_text("x");
  EXPECT_THAT(ChunkFrames(head, chunk, false), ::testing::HasSubstr("\"usage\":null"));
  chunk.set_finish_reason(inference::v1::LENGTH);
  chunk.mutable_usage()->set_completion_tokens(4);
  const std::string frames = ChunkFrames(head, chunk, false);
  const size_t second = frames.find("data: ", 6);
  ASSERT_NE(second, std::string::npos);
  EXPECT_THAT(frames.substr(0, second), ::testing::HasSubstr("\"finish_reason\":\"length\""));
  const auto usage = nlohmann::json::parse(frames.substr(second + 6));
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 4);
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
  response.set_text("a\xff");
  EXPECT_TRUE(nlohmann::json::accept(WholeAnswerJson(kChat, response)));
}

}  // namespace
}  // namespace oneai::serving
