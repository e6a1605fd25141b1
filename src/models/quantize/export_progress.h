// File: models/quantize/export_progress.h
//
// Counts elements for whoever watches an export.
#pragma once

#include "models/quantize/export.h"
#include "models/quantize/row_stream.h"

namespace oneai::models {

class ExportProgress {
 public:
  ExportProgress(const ExportOptions& options, const WeightSource& source) : options_(options) {
    for (const WeightInfo& info : source.weights()) total_ += Elements(info);
  }
  void Add(int64_t elements) {
    done_ += elements;
    if (options_.progress) options_.progress(done_, total_);
  }
  static int64_t Elements(const WeightInfo& info) {
    const RowShape rows = RowsOf(info.shape);
    return rows.num_rows * rows.row_elements;
  }

 private:
  const ExportOptions& options_;
  int64_t done_ = 0, total_ = 0;
};

}  // namespace oneai::models
