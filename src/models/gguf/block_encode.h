// File: models/gguf/block_encode.h
//
// Floats to the blocks of GGUF, rounding to nearest: F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K.
// The two K types choose scales by a small search for the least weighted square error, with the
// weights that ggml uses (larger numbers count more). Source: block layouts as in block_decode.h.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "models/gguf/block_types.h"

namespace oneai::models {

// Whether EncodeBlocks knows `type`.
bool CanEncode(BlockType type);

// Encodes `values` (whole blocks) into BlockBytes() bytes at `out`. InvalidArgument: a NaN or
// infinity, or a number too large for the half that scales its block. The same input gives the same
// bytes on every machine of IEEE arithmetic.
absl::Status EncodeBlocks(BlockType type, absl::Span<const float> values, std::byte* out);

}  // namespace oneai::models
