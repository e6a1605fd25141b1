// File: compute_fabric/simulator/csv_table.h
//
// Reads the published traces: comma-separated files with a header line and without quoting. Every
// error names file, line and column.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::fabric {

// Immutable after Read.
class CsvTable {
 public:
  // NotFound: no such file. InvalidArgument: no header, or a line with more or fewer fields than
  // it. Empty lines are skipped.
  static absl::StatusOr<CsvTable> Read(const std::string& path);
  // The same from text; `path` is for messages.
  static absl::StatusOr<CsvTable> Parse(std::string path, absl::string_view text);

  const std::vector<std::string>& header() const { return header_; }
  int64_t num_rows() const { return static_cast<int64_t>(rows_.size()); }
  // InvalidArgument: no such column; the message lists those there are.
  absl::StatusOr<int> Column(absl::string_view name) const;
  // -1: no such column.
  int FindColumn(absl::string_view name) const;

  const std::string& Text(int64_t row, int column) const { return rows_[row][column]; }
  // InvalidArgument: not a number (of the type), or outside min..max.
  absl::StatusOr<int64_t> Integer(int64_t row, int column, int64_t min, int64_t max) const;
  absl::StatusOr<double> Number(int64_t row, int column, double min, double max) const;
  // For what the caller finds wrong with a field: "FILE line 7, column gpu_milli: WHAT".
  absl::Status FieldError(int64_t row, int column, absl::string_view what) const;

 private:
  std::string path_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<int64_t> lines_;  // of the file, by row
};

}  // namespace oneai::fabric
