// File: models/quantize/parallel_rows.h
//
// A loop over rows on all threads whose body may fail.
#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "kernels/thread_pool/thread_pool.h"

namespace oneai::models {

// Runs `body(begin, end)` over parts of [0, num_rows). Returns the error of the earliest part that
// failed.
absl::Status ParallelRows(kernels::ThreadPool& threads, int64_t num_rows,
                          absl::FunctionRef<absl::Status(int64_t begin, int64_t end)> body);

}  // namespace oneai::models
