#include "serving/replica/pooled_answers.h"

#include <algorithm>
#include <cmath>

namespace oneai::serving {

void WriteEmbeddings(const v1::EmbedRequest& request, std::vector<std::vector<float>> values,
                     v1::EmbedResponse& response) {
  for (std::vector<float>& hidden : values) {
    if (request.has_dimensions()) hidden.resize(request.dimensions());
    double squares = 0;
    for (const float v : hidden) squares += double{v} * v;
    // A hidden state of zeros has no direction; it stays as it is.
    const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
    auto& out = *response.add_embeddings()->mutable_values();
    out.Reserve(static_cast<int>(hidden.size()));
    for (const float v : hidden) out.AddAlreadyReserved(static_cast<float>(v * scale));
  }
}

void WriteRanking(const v1::RerankRequest& request, std::vector<std::vector<float>> values,
                  v1::RerankResponse& response) {
  std::vector<v1::RerankResult> results;
  for (size_t i = 0; i < values.size(); ++i) {
    v1::RerankResult& result = results.emplace_back();
    result.set_index(static_cast<int32_t>(i));
    result.set_score(static_cast<float>(1 / (1 + std::exp(double{values[i][0]} - values[i][1]))));
  }
  std::stable_sort(results.begin(), results.end(),
                   [](const auto& a, const auto& b) { return a.score() > b.score(); });
  if (request.top_n() > 0 && results.size() > static_cast<size_t>(request.top_n()))
    results.resize(request.top_n());
  response.mutable_results()->Add(results.begin(), results.end());
}

void WriteScores(const v1::ClassifyRequest&, std::vector<std::vector<float>> values,
                 v1::ClassifyResponse& response) {
  for (const std::vector<float>& scores : values)
    response.add_results()->mutable_scores()->Add(scores.begin(), scores.end());
}

}  // namespace oneai::serving
