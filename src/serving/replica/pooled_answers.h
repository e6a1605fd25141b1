// File: serving/replica/pooled_answers.h
//
// From what the model said about each input to embeddings, rankings and class scores. Pure.
#pragma once

#include <vector>

#include "oneai/inference/v1/inference.pb.h"

namespace oneai::serving {

namespace v1 = ::oneai::inference::v1;

// `values`: per input, the final-normed hidden state of its last token [hidden_size]. Embeddings
// are its first `dimensions` values, scaled to length 1 (arXiv:2205.13147 for why the first ones
// do).
void WriteEmbeddings(const v1::EmbedRequest& request, std::vector<std::vector<float>> values,
                     v1::EmbedResponse& response);

// `values`: per document, the logits of "no" and "yes". The score is softmax's share of "yes"; ties
// keep the order of the documents.
void WriteRanking(const v1::RerankRequest& request, std::vector<std::vector<float>> values,
                  v1::RerankResponse& response);

// `values`: per input, the scores of all labels.
void WriteScores(const v1::ClassifyRequest& request, std::vector<std::vector<float>> values,
                 v1::ClassifyResponse& response);

}  // namespace oneai::serving
