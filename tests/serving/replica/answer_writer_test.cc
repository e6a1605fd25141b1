#include "serving/replica/answer_writer.h"

#include "serving/replica/pooled_answers.h"
#include "serving/wire/collect_answer.h"
#include "tests/serving/byte_tokenizer.h"

namespace oneai::serving {
namespace {

GenerationEvent Text(const std::string& text, int32_t choice = 0) {
  GenerationEvent event;
  event.text = text;
  event.choice = choice;
  return event;
}

GenerationEvent Last(FinishReason reason, int32_t choice, bool ends_request) {
  GenerationEvent event;
  event.choice = choice;
  event.finish_reason = reason;
  event.ends_request = ends_request;
  event.usage = {3, 2, 1};
  return event;
}

v1::GenerationResponse Collect(AnswerFormat format, const std::vector<GenerationEvent>& events) {
  AnswerWriter writer(std::move(format));
  v1::GenerationResponse response;
  for (const GenerationEvent& event : events) AddChunk(writer.Write(event), response);
  return response;
}

TEST(AnswerWriterTest, ChoicesAreKeptApartAndUsageComesOnce) {
  AnswerFormat format;
  format.request_id = "r";
  format.seed = 9;
  format.echo = ">";
  format.num_choices = 2;
  AnswerWriter writer(format);
  EXPECT_EQ(writer.Write(Text("a")).seed(), 9);
  EXPECT_EQ(writer.Write(Text("b", 1)).seed(), 0);
  EXPECT_FALSE(writer.Write(Last(FinishReason::kStop, 1, false)).has_usage());
  const v1::GenerationChunk last = writer.Write(Last(FinishReason::kLength, 0, true));
  EXPECT_EQ(last.usage().cached_prompt_tokens(), 1);

  const v1::GenerationResponse response =
      Collect(format, {Text("a"), Text("b", 1), Text("c"), Last(FinishReason::kStop, 1, false),
                       Last(FinishReason::kLength, 0, true)});
  EXPECT_EQ(response.choices(0).text(), ">ac");
  EXPECT_EQ(response.choices(0).finish_reason(), v1::LENGTH);
  EXPECT_EQ(response.choices(1).text(), ">b");
  EXPECT_EQ(response.choices(1).finish_reason(), v1::STOP);
  EXPECT_EQ(response.request_id(), "r");
}

TEST(AnswerWriterTest, ThoughtsAndCallsAreSplitFromTheText) {
  AnswerFormat format;
  format.parses_output = true;
  format.output = {ToolCallFormat::kHermes, ReasoningFormat::kThinkTags};
  const v1::GenerationResponse response =
      Collect(format, {Text("<think>hm</think>"), Text("\n\nI call.<tool_"),
                       Text("call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"),
                       Last(FinishReason::kStop, 0, true)});
  const v1::Choice& choice = response.choices(0);
  EXPECT_THAT(choice.reasoning(), ::testing::HasSubstr("hm"));
  EXPECT_THAT(choice.text(), ::testing::HasSubstr("I call."));
  ASSERT_EQ(choice.tool_calls_size(), 1);
  EXPECT_EQ(choice.tool_calls(0).name(), "f");
  EXPECT_EQ(choice.tool_calls(0).arguments_json(), "{\"a\": 1}");
  EXPECT_THAT(choice.tool_calls(0).id(), ::testing::StartsWith("call_"));
  EXPECT_EQ(choice.finish_reason(), v1::TOOL_CALLS);
}

TEST(AnswerWriterTest, AForcedCallHasNoTagsOfItsOwn) {
  AnswerFormat format;
  format.parses_output = true;
  format.unwritten_begin = "<tool_call>\n";
  format.unwritten_end = "\n</tool_call>";
  format.output.tool_calls = ToolCallFormat::kHermes;
  const v1::GenerationResponse response = Collect(
      format,
      {Text("{\"name\": \"f\", "), Text("\"arguments\": {}}"), Last(FinishReason::kStop, 0, true)});
  ASSERT_EQ(response.choices(0).tool_calls_size(), 1);
  EXPECT_EQ(response.choices(0).tool_calls(0).name(), "f");
  EXPECT_EQ(response.choices(0).text(), "");
  EXPECT_EQ(response.choices(0).finish_reason(), v1::TOOL_CALLS);
}

TEST(AnswerWriterTest, AForcedCallMayComeAfterThoughts) {
  AnswerFormat format;
  format.parses_output = true;
  format.unwritten_end = "\n</tool_call>";
  format.output.tool_calls = ToolCallFormat::kHermes;
  format.output.reasoning = ReasoningFormat::kStartsInside;
  const v1::GenerationResponse response =
      Collect(format, {Text("<tool_call> or not?</thi"), Text("nk>\n\n<tool_call>\n{\"name\": "),
                       Text("\"f\", \"arguments\": {}}"), Last(FinishReason::kStop, 0, true)});
  EXPECT_EQ(response.choices(0).reasoning(), "<tool_call> or not?");
  ASSERT_EQ(response.choices(0).tool_calls_size(), 1);
  EXPECT_EQ(response.choices(0).tool_calls(0).arguments_json(), "{}");
  EXPECT_EQ(response.choices(0).text(), "");
  EXPECT_EQ(response.choices(0).finish_reason(), v1::TOOL_CALLS);
}

// A grammar's own line breaks are not those of the form.
TEST(AnswerWriterTest, OnlyTwoLineBreaksAfterThoughtsBelongToTheForm) {
  AnswerFormat format;
  format.parses_output = true;
  format.output.reasoning = ReasoningFormat::kThinkTags;
  format.output.think_breaks_max = 2;
  const v1::GenerationResponse response = Collect(
      format, {Text("<think>a</think>\n"), Text("\n\nb"), Last(FinishReason::kStop, 0, true)});
  EXPECT_EQ(response.choices(0).reasoning(), "a");
  EXPECT_EQ(response.choices(0).text(), "\nb");
}

TEST(AnswerWriterTest, LogProbsCarryTheBytesOfTheirTokens) {
  const std::unique_ptr<models::Tokenizer> tokenizer = NewByteTokenizer();
  AnswerFormat format;
  format.tokenizer = tokenizer.get();
  format.prompt = {'x', 'y'};
  GenerationEvent event = Text("a");
  event.token_ids = {'a'};
  event.logprobs = {{-0.5f, {'a', 0xC3}, {-0.5f, -1.0f}}};
  event.prompt_logprobs = {{-2.0f, {}, {}}};
  const v1::GenerationResponse response =
      Collect(format, {event, Last(FinishReason::kStop, 0, true)});
  EXPECT_EQ(response.choices(0).logprobs(0).token(), "a");
  EXPECT_EQ(response.choices(0).logprobs(0).top(1).token(), "\xC3");
  ASSERT_EQ(response.prompt_logprobs_size(), 1);
  EXPECT_EQ(response.prompt_logprobs(0).token(), "y");
}

TEST(PooledAnswersTest, EmbeddingsHaveLengthOneAfterTheCut) {
  v1::EmbedRequest request;
  request.set_dimensions(2);
  v1::EmbedResponse response;
  WriteEmbeddings(request, {{3, 4, 100}, {0, 0, 1}}, response);
  EXPECT_THAT(response.embeddings(0).values(), ::testing::ElementsAre(0.6f, 0.8f));
  EXPECT_THAT(response.embeddings(1).values(), ::testing::ElementsAre(0.0f, 0.0f));
}

TEST(PooledAnswersTest, RankingIsByTheShareOfYes) {
  v1::RerankRequest request;
  request.set_top_n(2);
  v1::RerankResponse response;
  WriteRanking(request, {{0, 0}, {0, 100}, {100, 0}}, response);
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).index(), 1);
  EXPECT_FLOAT_EQ(response.results(0).score(), 1);
  EXPECT_FLOAT_EQ(response.results(1).score(), 0.5);
}

}  // namespace
}  // namespace oneai::serving
