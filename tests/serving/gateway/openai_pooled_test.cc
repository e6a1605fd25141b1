#include "serving/gateway/openai_pooled.h"

#include <nlohmann/json.hpp>

#include "serving/gateway/openai_request.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(OpenAiPooledTest, EmbeddingInputsInAllForms) {
  const auto parse = [](const std::string& input) {
    return ParseEmbeddings(R"({"model": "e", "input": )" + input + "}");
  };
  EXPECT_EQ(parse(R"("a")")->request.inputs(0).text(), "a");
  EXPECT_EQ(parse(R"(["a", "b"])")->request.inputs(1).text(), "b");
  EXPECT_THAT(parse("[1, 2]")->request.inputs(0).token_ids().ids(), ElementsAre(1, 2));
  EXPECT_EQ(parse("[[1], [2, 3]]")->request.inputs_size(), 2);
  for (const char* bad : {"[]", "1", "[{}]", "[1, \"a\"]", "[[]]", "[[-1]]"}) {
    EXPECT_THAT(parse(bad), StatusIs(kInvalid, HasSubstr("'input'"))) << bad;
  }
  EXPECT_THAT(ParseEmbeddings(R"({"model": "e", "input": "a", "encoding_format": "hex"})"),
              StatusIs(kInvalid, HasSubstr("float or base64")));
  EXPECT_THAT(ParseEmbeddings(R"({"model": "e", "input": "a", "dimensions": 0})"),
              StatusIs(kInvalid, HasSubstr("'dimensions'")));
}

TEST(OpenAiPooledTest, EmbeddingsAsNumbersAndAsBase64) {
  inference::v1::EmbedResponse response;
  response.add_embeddings()->add_values(1.0f);
  response.mutable_usage()->set_prompt_tokens(4);
  EmbeddingsCall call;
  call.request.set_model("e");
  const auto json = nlohmann::json::parse(EmbeddingsJson(call, response));
  EXPECT_EQ(json["data"][0]["embedding"].dump(), "[1.0]");
  EXPECT_EQ(json["usage"]["total_tokens"], 4);
  call.as_base64 = true;
  // 1.0f is 00 00 80 3f.
  EXPECT_EQ(nlohmann::json::parse(EmbeddingsJson(call, response))["data"][0]["embedding"],
            "AACAPw==");
}

TEST(OpenAiPooledTest, RerankGivesTheDocumentsBack) {
  ASSERT_OK_AND_ASSIGN(const RerankCall call, ParseRerank(R"({"model": "r", "query": "q",
      "documents": ["a", {"text": "b"}], "top_n": 1})"));
  EXPECT_EQ(call.request.top_n(), 1);
  inference::v1::RerankResponse response;
  response.add_results()->set_index(1);
  response.mutable_results(0)->set_score(0.75f);
  const auto json = nlohmann::json::parse(RerankJson(call, response));
  EXPECT_EQ(json["results"][0]["document"]["text"], "b");
  EXPECT_EQ(json["results"][0]["relevance_score"], 0.75);
  EXPECT_THAT(ParseRerank(R"({"model": "r", "query": "q", "documents": [1]})"),
              StatusIs(kInvalid, HasSubstr("'documents'")));
}

TEST(OpenAiPooledTest, ClassesHaveProbabilities) {
  inference::v1::ClassifyResponse response;
  response.add_results()->add_scores(0);
  response.mutable_results(0)->add_scores(0);
  inference::v1::ClassifyRequest request;
  const auto json = nlohmann::json::parse(ClassifyJson(request, response));
  EXPECT_EQ(json["data"][0]["probs"].dump(), "[0.5,0.5]");
}

}  // namespace
}  // namespace oneai::serving
