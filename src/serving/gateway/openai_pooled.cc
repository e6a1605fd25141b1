// File: serving/gateway/openai_pooled.cc
#include "serving/gateway/openai_pooled.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/status.h"
#include "serving/gateway/openai_body.h"

namespace oneai::serving {
namespace {

using Json = nlohmann::ordered_json;
using Inputs = google::protobuf::RepeatedPtrField<inference::v1::TextInput>;

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

bool ReadTokenIds(const Json& ids, inference::v1::TextInput& input) {
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id > kInt32Max) return false;
    input.mutable_token_ids()->add_ids(id.get<int32_t>());
  }
  return true;
}

// A string, a list of strings, a list of token ids, or a list of such lists.
void ReadInputs(BodyReader& reader, Inputs& inputs) {
  constexpr char kForm[] = "must be a string, a list of strings, or lists of token ids";
  const Json* input = reader.Take("input");
  if (input == nullptr) return reader.Fail("input", "is missing");
  if (input->is_string()) return inputs.Add()->set_text(input->get<std::string>());
  if (!input->is_array() || input->empty()) return reader.Fail("input", kForm);
  if ((*input)[0].is_number()) {
    if (!ReadTokenIds(*input, *inputs.Add())) reader.Fail("input", kForm);
    return;
  }
  for (const Json& item : *input) {
    if (item.is_string()) {
      inputs.Add()->set_text(item.get<std::string>());
    } else if (!item.is_array() || item.empty() || !ReadTokenIds(item, *inputs.Add())) {
      return reader.Fail("input", kForm);
    }
  }
}

void ReadPriority(BodyReader& reader, int32_t& priority) {
  reader.Integer("priority", -100, 100, [&](int64_t v) { priority = static_cast<int32_t>(v); });
  reader.Ignore({"user"});
}

Json UsageJson(const inference::v1::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens()}, {"total_tokens", usage.prompt_tokens()}};
}

std::string Base64(const google::protobuf::RepeatedField<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return absl::Base64Escape(bytes);
}

}  // namespace

absl::StatusOr<EmbeddingsCall> ParseEmbeddings(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseOpenAiBody(body));
  BodyReader reader(json);
  EmbeddingsCall call;
  call.request.set_model(reader.Text("model"));
  ReadInputs(reader, *call.request.mutable_inputs());
  reader.Integer("dimensions", 1, kInt32Max,
                 [&](int64_t v) { call.request.set_dimensions(static_cast<int32_t>(v)); });
  const std::string encoding = reader.Text("encoding_format");
  if (!encoding.empty() && encoding != "float" && encoding != "base64")
    reader.Fail("encoding_format", "must be float or base64");
  call.as_base64 = encoding == "base64";
  int32_t priority = 0;
  ReadPriority(reader, priority);
  call.request.set_priority(priority);
  RETURN_IF_ERROR(reader.Finish());
  return call;
}

std::string EmbeddingsJson(const EmbeddingsCall& call,
                           const inference::v1::EmbedResponse& response) {
  Json data = Json::array();
  for (int i = 0; i < response.embeddings_size(); ++i) {
    const auto& values = response.embeddings(i).values();
    Json item = {{"object", "embedding"}, {"index", i}};
    if (call.as_base64) {
      item["embedding"] = Base64(values);
    } else {
      item["embedding"] = std::vector<float>(values.begin(), values.end());
    }
    data.push_back(std::move(item));
  }
  return JsonText({{"object", "list"},
                   {"data", std::move(data)},
                   {"model", call.request.model()},
                   {"usage", UsageJson(response.usage())}});
}

absl::StatusOr<RerankCall> ParseRerank(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseOpenAiBody(body));
  BodyReader reader(json);
  RerankCall call;
  call.request.set_model(reader.Text("model"));
  call.request.set_query(reader.Text("query"));
  call.request.set_instruction(reader.Text("instruction"));
  const Json* documents = reader.Take("documents");
  if (documents == nullptr || !documents->is_array() || documents->empty()) {
    reader.Fail("documents", "must be a list of at least one text");
  } else {
    for (const Json& document : *documents) {
      const Json text = document.is_object() ? document.value("text", Json()) : document;
      if (!text.is_string()) {
        reader.Fail("documents", "must be a list of texts, or of objects with 'text'");
        break;
      }
      call.request.add_documents(text.get<std::string>());
    }
  }
  reader.Integer("top_n", 1, kInt32Max,
                 [&](int64_t v) { call.request.set_top_n(static_cast<int32_t>(v)); });
  if (const Json* given = reader.Take("return_documents")) {
    if (!given->is_boolean()) reader.Fail("return_documents", "must be true or false");
    call.return_documents = given->is_boolean() && given->get<bool>();
  }
  int32_t priority = 0;
  ReadPriority(reader, priority);
  call.request.set_priority(priority);
  RETURN_IF_ERROR(reader.Finish());
  return call;
}

std::string RerankJson(const RerankCall& call, const inference::v1::RerankResponse& response) {
  Json results = Json::array();
  for (const inference::v1::RerankResult& result : response.results()) {
    Json item = {{"index", result.index()}, {"relevance_score", result.score()}};
    if (call.return_documents && result.index() < call.request.documents_size())
      item["document"] = {{"text", call.request.documents(result.index())}};
    results.push_back(std::move(item));
  }
  return JsonText({{"id", response.request_id()},
                   {"model", call.request.model()},
                   {"results", std::move(results)},
                   {"usage", UsageJson(response.usage())}});
}

absl::StatusOr<inference::v1::ClassifyRequest> ParseClassify(absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseOpenAiBody(body));
  BodyReader reader(json);
  inference::v1::ClassifyRequest request;
  request.set_model(reader.Text("model"));
  ReadInputs(reader, *request.mutable_inputs());
  int32_t priority = 0;
  ReadPriority(reader, priority);
  request.set_priority(priority);
  RETURN_IF_ERROR(reader.Finish());
  return request;
}

std::string ClassifyJson(const inference::v1::ClassifyRequest& request,
                         const inference::v1::ClassifyResponse& response) {
  Json data = Json::array();
  for (int i = 0; i < response.results_size(); ++i) {
    const auto& scores = response.results(i).scores();
    const double best = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (const float score : scores) sum += std::exp(score - best);
    Json probabilities = Json::array();
    for (const float score : scores) probabilities.push_back(std::exp(score - best) / sum);
    data.push_back({{"index", i},
                    {"scores", std::vector<float>(scores.begin(), scores.end())},
                    {"probs", std::move(probabilities)},
                    {"num_classes", scores.size()}});
  }
  return JsonText({{"id", response.request_id()},
                   {"object", "list"},
                   {"model", request.model()},
                   {"data", std::move(data)},
                   {"usage", UsageJson(response.usage())}});
}

}  // namespace oneai::serving
