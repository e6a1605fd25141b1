// File: models/gguf/block_decode.h
//
// Blocks of GGUF to the codes and scales of a QuantizedMatrixView, without loss: a scale of a block
// is the product of a half and a small integer, which float32 holds exactly. Source: the
// dequantize_row_* functions of ggml-quants.c define the meaning of each layout; block_decode_test
// compares against their outputs, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "models/gguf/block_types.h"

namespace oneai::models {

// Decodes `num_elements` numbers (whole blocks) at `data`:
//   codes   [num_elements]
//   scales  [num_elements / group]
//   offsets the same where the type has offsets, else null
// InvalidArgument, naming the block, for a scale or offset that is NaN or infinite. `type` must be
// quantised.
absl::Status DecodeBlocks(BlockType type, const std::byte* data, int64_t num_elements,
                          int8_t* codes, float* scales, float* offsets);

// The numbers themselves, of any type: scale * code + offset in float32, as ggml rounds. Errors as
// above; plain types may hold any bits.
absl::Status DecodeToFloat(BlockType type, const std::byte* data, absl::Span<float> out);

}  // namespace oneai::models
