#include "serving/gateway/openai_request.h"

#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using inference::v1::ChatRequest;
using inference::v1::CompletionRequest;
using oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(OpenAiRequestTest, ReadsAChat) {
  ASSERT_OK_AND_ASSIGN(const OpenAiRequest request, ParseChatCompletion(R"({
      "model": "m", "stream": true, "stream_options": {"include_usage": true},
      "messages": [{"role": "developer", "content": "be brief"},
                   {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                   {"role": "assistant", "content": null}],
      "temperature": 0, "top_p": 0.9, "top_k": -1, "seed": 7, "max_completion_tokens": 5, "stop": "x",
      "user": "u", "n": 1, "tools": null, "logprobs": false,
      "response_format": {"type": "text"}, "chat_template_kwargs": {"enable_thinking": false}})"));
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  const ChatRequest& chat = std::get<ChatRequest>(request.generation);
  ASSERT_EQ(chat.messages_size(), 3);
  EXPECT_EQ(chat.messages(0).role(), "system");
  EXPECT_EQ(chat.messages(1).content(), "ab");
  EXPECT_EQ(chat.messages(2).content(), "");
  EXPECT_TRUE(chat.sampling().has_temperature());
  EXPECT_EQ(chat.sampling().temperature(), 0);
  EXPECT_EQ(chat.sampling().top_k(), 0);
  EXPECT_EQ(chat.sampling().seed(), 7);
  EXPECT_EQ(chat.sampling().max_tokens(), 5);
  EXPECT_THAT(chat.sampling().stop(), ElementsAre("x"));
  EXPECT_EQ(chat.template_variables_json(), R"({"enable_thinking":false})");
}

TEST(OpenAiRequestTest, UnsetSamplingStaysUnset) {
  ASSERT_OK_AND_ASSIGN(const OpenAiRequest request,
                       ParseCompletion(R"({"model": "m", "prompt": "p", "temperature": null})"));
  const CompletionRequest& completion = std::get<CompletionRequest>(request.generation);
  EXPECT_FALSE(completion.sampling().has_temperature());
  EXPECT_FALSE(completion.sampling().has_max_tokens());
  EXPECT_FALSE(request.stream);
}

TEST(OpenAiRequestTest, PromptsInAllForms) {
  const auto parse = [](const std::string& prompt) {
    return ParseCompletion(R"({"model": "m", "prompt": )" + prompt + "}");
  };
  EXPECT_EQ(std::get<CompletionRequest>(parse(R"("p")")->generation).text(), "p");
  EXPECT_EQ(std::get<CompletionRequest>(parse(R"(["p"])")->generation).text(), "p");
  EXPECT_THAT(std::get<CompletionRequest>(parse("[1, 2]")->generation).token_ids().ids(),
              ElementsAre(1, 2));
  EXPECT_THAT(std::get<CompletionRequest>(parse("[[1, 2]]")->generation).token_ids().ids(),
              ElementsAre(1, 2));
  EXPECT_THAT(parse(R"(["a", "b"])"), StatusIs(kInvalid, HasSubstr("one prompt only")));
  EXPECT_THAT(parse("[[1], [2]]"), StatusIs(kInvalid, HasSubstr("one prompt only")));
  EXPECT_THAT(parse("[]"), StatusIs(kInvalid, HasSubstr("'prompt'")));
  EXPECT_THAT(parse("[1, -2]"), StatusIs(kInvalid, HasSubstr("token ids")));
  EXPECT_THAT(parse("{}"), StatusIs(kInvalid, HasSubstr("'prompt'")));
}

struct BadField {
  const char* json;
  const char* parameter;
  const char* message;
};

TEST(OpenAiRequestTest, RefusalsNameTheField) {
  const BadField cases[] = {
      {R"("n": 0)", "n", "between 1 and 64"},
      {R"("temperature": 3)", "temperature", "between 0 and 2"},
      {R"("temperature": "hot")", "temperature", "must be a number"},
      {R"("max_tokens": 0)", "max_tokens", "between 1"},
      {R"("max_tokens": 1.5)", "max_tokens", "must be an integer"},
      {R"("seed": 18446744073709551615)", "seed", "between"},
      {R"("stream": 1)", "stream", "true or false"},
      {R"("stream_options": {"include_usage": true})", "stream_options", "needs 'stream'"},
      {R"("stop": [""])", "stop", "not empty"},
      {R"("stop": [1])", "stop", "list of strings"},
      {R"("tools": [{"type": "browser"}])", "tools[0].type", "must be \"function\""},
      {R"("tools": {})", "tools", "list of tools"},
      {R"("tool_choice": "always")", "tool_choice", "auto, none, required"},
      {R"("tool_choice": {"type": "function"})", "tool_choice", "\"name\""},
      {R"("response_format": {"type": "xml"})", "response_format.type", "json_schema"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema", "schema"},
      {R"("response_format": {"type": "json_object"}, "guided_regex": "a")", "response_format",
       "exclude each other"},
      {R"("guided_choice": ["a", 1])", "guided_choice", "list of strings"},
      {R"("structured_outputs": {"yaml": 1})", "structured_outputs", "'yaml'"},
      {R"("top_logprobs": 2)", "top_logprobs", "needs 'logprobs': true"},
      {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs", "between 0 and 20"},
      {R"("logit_bias": {"one": 5})", "logit_bias", "no token id"},
      {R"("logit_bias": {"1": 500})", "logit_bias", "of token 1 must be"},
      {R"("temprature": 1)", "temprature", "did you mean 'temperature'?"},
      {R"("zzzzzzzzzz": 1)", "zzzzzzzzzz", "not a known field"},
  };
  for (const BadField& bad : cases) {
    const auto request = ParseChatCompletion(
        std::string(R"({"model": "m", "messages": [{"role": "user", "content": "x"}], )") +
        bad.json + "}");
    EXPECT_THAT(request, StatusIs(kInvalid, HasSubstr(bad.message))) << bad.json;
    EXPECT_EQ(ParameterOf(request.status()), bad.parameter) << bad.json;
  }
}

TEST(OpenAiRequestTest, ReadsToolsInTheirOwnOrder) {
  ASSERT_OK_AND_ASSIGN(const OpenAiRequest request, ParseChatCompletion(R"({
      "model": "m", "n": 3, "logprobs": true, "top_logprobs": 2, "logit_bias": {"7": -100},
      "messages": [{"role": "user", "content": "x"},
                   {"role": "assistant", "reasoning_content": "hm", "tool_calls": [
                      {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"z\":1}"}}]},
                   {"role": "tool", "tool_call_id": "c1", "content": "5"}],
      "tools": [{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2}}}],
      "tool_choice": {"type": "function", "function": {"name": "f"}}})"));
  const ChatRequest& chat = std::get<ChatRequest>(request.generation);
  EXPECT_EQ(chat.tools_json(),
            R"([{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}])");
  EXPECT_EQ(chat.tool_choice(), "f");
  EXPECT_EQ(chat.messages(1).reasoning(), "hm");
  ASSERT_EQ(chat.messages(1).tool_calls_size(), 1);
  EXPECT_EQ(chat.messages(1).tool_calls(0).arguments_json(), "{\"z\":1}");
  EXPECT_EQ(chat.messages(2).tool_call_id(), "c1");
  EXPECT_EQ(chat.sampling().n(), 3);
  EXPECT_EQ(chat.sampling().logprobs(), 2);
  EXPECT_EQ(chat.sampling().logit_bias().at(7), -100);
}

TEST(OpenAiRequestTest, ReadsWhatTheAnswerMustLookLike) {
  const auto parse = [](const std::string& field) {
    const auto request = ParseChatCompletion(
        R"({"model": "m", "messages": [{"role": "user", "content": "x"}], )" + field + "}");
    EXPECT_OK(request) << field;
    return request.ok() ? std::get<ChatRequest>(request->generation).structured()
                        : inference::v1::StructuredOutput();
  };
  EXPECT_TRUE(parse(R"("response_format": {"type": "json_object"})").json_object());
  EXPECT_EQ(parse(R"("response_format": {"type": "json_schema", "json_schema":
                     {"name": "n", "schema": {"type": "object", "a": 1}}})")
                .json_schema(),
            R"({"type":"object","a":1})");
  EXPECT_EQ(parse(R"("guided_regex": "a+")").regex(), "a+");
  EXPECT_EQ(parse(R"("guided_grammar": "root ::= \"a\"")").grammar(), "root ::= \"a\"");
  EXPECT_THAT(parse(R"("structured_outputs": {"choice": ["a", "b"]})").choice().choices(),
              ElementsAre("a", "b"));
  EXPECT_EQ(parse(R"("response_format": {"type": "text"})").kind_case(),
            inference::v1::StructuredOutput::KIND_NOT_SET);
}

TEST(OpenAiRequestTest, ACompletionsEchoReportsThePromptToo) {
  ASSERT_OK_AND_ASSIGN(
      const OpenAiRequest request,
      ParseCompletion(R"({"model": "m", "prompt": "p", "echo": true, "logprobs": 3, "best_of": 4,
                          "n": 2, "cache_salt": "s"})"));
  const CompletionRequest& completion = std::get<CompletionRequest>(request.generation);
  EXPECT_EQ(completion.sampling().prompt_logprobs(), 3);
  EXPECT_EQ(completion.sampling().best_of(), 4);
  EXPECT_EQ(completion.cache_salt(), "s");
}

TEST(OpenAiRequestTest, BadMessagesAreNamedByIndex) {
  const auto parse = [](const std::string& messages) {
    return ParseChatCompletion(R"({"model": "m", "messages": )" + messages + "}");
  };
  EXPECT_THAT(parse("[]"), StatusIs(kInvalid, HasSubstr("at least one message")));
  EXPECT_THAT(parse("[{}]"), StatusIs(kInvalid, HasSubstr("messages[0]")));
  EXPECT_THAT(parse(R"([{"role": "user", "content": "x"}, {"role": "king", "content": "x"}])"),
              StatusIs(kInvalid, HasSubstr("messages[1].role")));
  EXPECT_THAT(parse(R"([{"role": "user", "content": [{"type": "image_url"}]}])"),
              StatusIs(kInvalid, HasSubstr("messages[0].content")));
  EXPECT_THAT(parse(R"([{"role": "assistant", "content": "", "tool_calls": [{}]}])"),
              StatusIs(kInvalid, HasSubstr("tool_calls")));
}

TEST(OpenAiRequestTest, BodiesThatAreNoObjects) {
  for (const char* body : {"[]", "\"x\"", "3"}) {
    EXPECT_THAT(ParseCompletion(body), StatusIs(kInvalid, HasSubstr("not a JSON object"))) << body;
  }
  for (const char* body : {"", "{", "{\"model\": }", "{\"prompt\": \"\xC3\x28\"}"}) {
    EXPECT_THAT(ParseCompletion(body), StatusIs(kInvalid, HasSubstr("not valid JSON"))) << body;
  }
  const std::string deep = "{\"prompt\":" + std::string(5000, '[') + std::string(5000, ']') + "}";
  EXPECT_THAT(ParseCompletion(deep), StatusIs(kInvalid, HasSubstr("too deeply")));
}

}  // namespace
}  // namespace oneai::serving
