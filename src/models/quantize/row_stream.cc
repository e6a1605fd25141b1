#include "models/quantize/row_stream.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {
namespace {

constexpr int64_t kElementsAtOnce = 4 << 20;

}  // namespace

RowShape RowsOf(const std::vector<int64_t>& shape) {
  RowShape rows;
  if (shape.size() > 1) rows.num_rows = shape[0];
  for (size_t i = shape.size() > 1 ? 1 : 0; i < shape.size(); ++i) rows.row_elements *= shape[i];
  return rows;
}

absl::Status ForEachRows(const WeightSource& source, const WeightInfo& info, int64_t multiple,
                         RowVisitor visit) {
  const RowShape rows = RowsOf(info.shape);
  const int64_t unit = rows.row_elements * multiple;
  const int64_t at_once =
      std::max<int64_t>(1, kElementsAtOnce / std::max<int64_t>(1, unit)) * multiple;
  for (int64_t first = 0; first < rows.num_rows; first += at_once) {
    const int64_t count = std::min(at_once, rows.num_rows - first);
    ASSIGN_OR_RETURN(const std::vector<float> values, source.FloatRows(info.name, first, count));
    if (absl::Status status = visit(first, values); !status.ok())
      return Annotate(
          status, absl::StrCat(source.source(), ": tensor '", info.name, "': rows from ", first));
  }
  return absl::OkStatus();
}

}  // namespace oneai::models
