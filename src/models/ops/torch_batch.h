// File: models/ops/torch_batch.h
//
// A ragged batch for LibTorch: whole documents packed one after the other, without padding.
#pragma once

#include <cstdint>
#include <vector>

#include "torch/torch.h"

namespace oneai::models {

// What a batch is run for: some of Qwen-1's settings (dynamic NTK, log-n attention) belong to
// inference only, as in its original implementation.
enum class TorchUse { kTraining, kInference };

// Documents do not see each other and each one's positions start at 0. T = num_tokens.
struct TorchBatch {
  torch::Tensor tokens;             // [T] int64, on the model's device
  torch::Tensor positions;          // [T] int64, restart at 0 with every document
  torch::Tensor document_start;     // [T] int64, index of the first token of each token's document
  std::vector<int64_t> cu_seqlens;  // [num_documents + 1], from 0 to T
  TorchUse use = TorchUse::kTraining;

  int64_t num_tokens() const { return tokens.size(0); }
};

// Builds a batch from `tokens` [T] int64 and the documents' bounds. Throws c10::Error when
// cu_seqlens does not rise strictly from 0 to T (call it within the torch boundary).
TorchBatch MakeTorchBatch(torch::Tensor tokens, std::vector<int64_t> cu_seqlens);

// As above for `rows` [num_rows, row_length] int64, every row one document.
TorchBatch MakeTorchBatchOfRows(const torch::Tensor& rows);

}  // namespace oneai::models
