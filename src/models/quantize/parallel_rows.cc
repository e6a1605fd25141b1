#include "models/quantize/parallel_rows.h"

#include <vector>

namespace oneai::models {

absl::Status ParallelRows(kernels::ThreadPool& threads, int64_t num_rows,
                          absl::FunctionRef<absl::Status(int64_t begin, int64_t end)> body) {
  std::vector<absl::Status> statuses(threads.num_threads());
  threads.ParallelFor(num_rows, [&](int64_t begin, int64_t end, int worker) {
    if (begin < end) statuses[worker] = body(begin, end);
  });
  for (absl::Status& status : statuses)
    if (!status.ok()) return std::move(status);
  return absl::OkStatus();
}

}  // namespace oneai::models
