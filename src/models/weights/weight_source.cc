#include "models/weights/weight_source.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/safetensors/small_floats.h"

namespace oneai::models {

const WeightInfo* WeightSource::Find(absl::string_view name) const {
  const absl::Span<const WeightInfo> all = weights();
  const auto it = std::lower_bound(
      all.begin(), all.end(), name,
      [](const WeightInfo& info, absl::string_view wanted) { return info.name < wanted; });
  return it != all.end() && it->name == name ? &*it : nullptr;
}

absl::StatusOr<DenseWeight> WeightSource::DenseRows(absl::string_view name, int64_t first_row,
                                                    int64_t num_rows) const {
  ASSIGN_OR_RETURN(DenseWeight dense, Dense(name));
  const WeightInfo& info = *Find(name);
  int64_t row_elements = 1;
  for (size_t i = info.shape.size() > 1 ? 1 : 0; i < info.shape.size(); ++i)
    row_elements *= info.shape[i];
  const int64_t rows = info.shape.size() > 1 ? info.shape[0] : 1;
  if (first_row < 0 || num_rows < 0 || num_rows > rows - first_row)
    return absl::OutOfRangeError(
        absl::StrCat(source(), ": tensor '", name, "' has ", rows, " rows"));
  dense.data += first_row * row_elements * DTypeBytes(dense.dtype);
  return dense;
}

absl::StatusOr<std::vector<float>> WeightSource::FloatRows(absl::string_view name,
                                                           int64_t first_row,
                                                           int64_t num_rows) const {
  ASSIGN_OR_RETURN(DenseWeight dense, DenseRows(name, first_row, num_rows));
  const WeightInfo& info = *Find(name);
  int64_t num_elements = info.shape.size() > 1 ? num_rows : 1;
  for (size_t i = info.shape.size() > 1 ? 1 : 0; i < info.shape.size(); ++i)
    num_elements *= info.shape[i];
  if (static_cast<int64_t>(dense.owned.size()) == num_elements) return std::move(dense.owned);
  std::vector<float> values(num_elements);
  if (dense.dtype == DType::kF32) {
    std::memcpy(values.data(), dense.data, num_elements * sizeof(float));
    return values;
  }
  const auto* halves = reinterpret_cast<const uint16_t*>(dense.data);
  for (int64_t i = 0; i < num_elements; ++i)
    values[i] = dense.dtype == DType::kBF16 ? Bfloat16ToFloat(halves[i]) : HalfToFloat(halves[i]);
  return values;
}

}  // namespace oneai::models
