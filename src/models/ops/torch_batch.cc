#include "models/ops/torch_batch.h"

#include <utility>

namespace oneai::models {

TorchBatch MakeTorchBatch(torch::Tensor tokens, std::vector<int64_t> cu_seqlens) {
  TORCH_CHECK(tokens.dim() == 1 && tokens.scalar_type() == torch::kInt64,
              "a batch's tokens must be one int64 row");
  TORCH_CHECK(
      cu_seqlens.size() >= 2 && cu_seqlens.front() == 0 && cu_seqlens.back() == tokens.size(0),
      "cu_seqlens must go from 0 to the number of tokens");
  const int64_t num_tokens = tokens.size(0);
  torch::Tensor start = torch::empty({num_tokens}, torch::kInt64);
  int64_t* out = start.data_ptr<int64_t>();
  for (size_t d = 0; d + 1 < cu_seqlens.size(); ++d) {
    TORCH_CHECK(cu_seqlens[d] < cu_seqlens[d + 1], "document ", d, " of a batch is empty");
    for (int64_t t = cu_seqlens[d]; t < cu_seqlens[d + 1]; ++t) out[t] = cu_seqlens[d];
  }
  TorchBatch batch;
  batch.positions = (torch::arange(num_tokens, torch::kInt64) - start).to(tokens.device());
  batch.document_start = start.to(tokens.device());
  batch.tokens = std::move(tokens);
  batch.cu_seqlens = std::move(cu_seqlens);
  return batch;
}

TorchBatch MakeTorchBatchOfRows(const torch::Tensor& rows) {
  TORCH_CHECK(rows.dim() == 2, "rows must be [num_rows, row_length]");
  std::vector<int64_t> cu_seqlens;
  for (int64_t r = 0; r <= rows.size(0); ++r) cu_seqlens.push_back(r * rows.size(1));
  return MakeTorchBatch(rows.reshape({-1}).contiguous(), std::move(cu_seqlens));
}

}  // namespace oneai::models
