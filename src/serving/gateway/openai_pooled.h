// File: serving/gateway/openai_pooled.h
//
// Embeddings, as OpenAI has them, and reranking and classification, as vLLM, Jina and Cohere do.
// Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "oneai/inference/v1/inference.pb.h"

namespace oneai::serving {

struct EmbeddingsCall {
  inference::v1::EmbedRequest request;
  bool as_base64 = false;  // encoding_format "base64": little-endian float32
};

// POST /v1/embeddings. InvalidArgument: as ParseChatCompletion.
absl::StatusOr<EmbeddingsCall> ParseEmbeddings(absl::string_view body);
std::string EmbeddingsJson(const EmbeddingsCall& call,
                           const inference::v1::EmbedResponse& response);

struct RerankCall {
  inference::v1::RerankRequest request;
  bool return_documents = true;
};

// POST /v1/rerank.
absl::StatusOr<RerankCall> ParseRerank(absl::string_view body);
std::string RerankJson(const RerankCall& call, const inference::v1::RerankResponse& response);

// POST /v1/classify.
absl::StatusOr<inference::v1::ClassifyRequest> ParseClassify(absl::string_view body);
std::string ClassifyJson(const inference::v1::ClassifyRequest& request,
                         const inference::v1::ClassifyResponse& response);

}  // namespace oneai::serving
