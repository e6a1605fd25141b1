#include "compute_fabric/simulator/csv_table.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace oneai::fabric {

absl::StatusOr<CsvTable> CsvTable::Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be read; give an existing CSV file"));
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return Parse(path, text);
}

absl::StatusOr<CsvTable> CsvTable::Parse(std::string path, absl::string_view text) {
  CsvTable table;
  table.path_ = std::move(path);
  int64_t line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripSuffix(line, "\r");
    if (line.empty()) continue;
    std::vector<std::string> fields = absl::StrSplit(line, ',');
    if (table.header_.empty()) {
      table.header_ = std::move(fields);
      continue;
    }
    if (fields.size() != table.header_.size()) {
      return absl::InvalidArgumentError(absl::StrCat(table.path_, " line ", line_number, ": ",
                                                     fields.size(), " fields, the header has ",
                                                     table.header_.size()));
    }
    table.rows_.push_back(std::move(fields));
    table.lines_.push_back(line_number);
  }
  if (table.header_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(table.path_, ": empty; the first line must name the columns"));
  }
  return table;
}

int CsvTable::FindColumn(absl::string_view name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  return found == header_.end() ? -1 : static_cast<int>(found - header_.begin());
}

absl::StatusOr<int> CsvTable::Column(absl::string_view name) const {
  const int column = FindColumn(name);
  if (column >= 0) return column;
  return absl::InvalidArgumentError(absl::StrCat(path_, " line 1: no column \"", name,
                                                 "\"; there are ", absl::StrJoin(header_, ", ")));
}

absl::StatusOr<int64_t> CsvTable::Integer(int64_t row, int column, int64_t min, int64_t max) const {
  int64_t value = 0;
  if (!absl::SimpleAtoi(rows_[row][column], &value)) {
    return FieldError(row, column, "not a whole number");
  }
  if (value < min || value > max) {
    return FieldError(row, column, absl::StrCat("must be from ", min, " to ", max));
  }
  return value;
}

absl::StatusOr<double> CsvTable::Number(int64_t row, int column, double min, double max) const {
  double value = 0;
  if (!absl::SimpleAtod(rows_[row][column], &value)) {
    return FieldError(row, column, "not a number");
  }
  if (!(value >= min && value <= max)) {
    return FieldError(row, column, absl::StrCat("must be from ", min, " to ", max));
  }
  return value;
}

absl::Status CsvTable::FieldError(int64_t row, int column, absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(path_, " line ", lines_[row], ", column ",
                                                 header_[column], ": \"", rows_[row][column],
                                                 "\": ", what));
}

}  // namespace oneai::fabric
