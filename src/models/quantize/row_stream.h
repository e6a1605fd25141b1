// File: models/quantize/row_stream.h
//
// Walks over a tensor as float32 a few megabytes at a time, so that no model and no large tensor is
// ever whole in memory.
#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

// A tensor as rows: the first dim of a matrix; a vector is one row.
struct RowShape {
  int64_t num_rows = 1, row_elements = 1;
};
RowShape RowsOf(const std::vector<int64_t>& shape);

// Calls `visit` with rows [first, first + values.size() / row_elements) in order, until it fails.
// `multiple`: every call but the last gets a multiple of so many rows. Errors of the source, or of
// `visit` with the tensor's name before it.
using RowVisitor = absl::FunctionRef<absl::Status(int64_t first, absl::Span<const float> values)>;
absl::Status ForEachRows(const WeightSource& source, const WeightInfo& info, int64_t multiple,
                         RowVisitor visit);

}  // namespace oneai::models
