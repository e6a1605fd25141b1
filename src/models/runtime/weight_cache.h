// File: models/runtime/weight_cache.h
//
// Packed weights in a file, so that a second start of a model maps what the first one packed: tens
// of milliseconds instead of seconds, and replicas on one machine share the memory. A cache only
// helps: whatever is wrong with it is logged, and the weights are packed from the model's own
// files.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/gemm/packed_file.h"
#include "kernels/gemm/packed_matrix.h"

namespace oneai::models {

// What the weight files of `model` (a folder or a file) are now: names, sizes, times of change.
// Part of a cache's fingerprint, so that a changed model is packed anew.
std::string DescribeWeightFiles(const std::filesystem::path& model);

// Thread-compatible. The matrices that it gives borrow it when it is warm.
class WeightCache {
 public:
  // The cache in `folder` (made if it is missing, mode 0700) for weights that `fingerprint`
  // describes: everything that decides their packed bytes. Null: `folder` is empty or cannot be
  // used.
  static std::unique_ptr<WeightCache> Open(const std::filesystem::path& folder,
                                           const std::string& fingerprint);

  // The matrix `name` from the file; else packed by `pack`, and kept for the next start. Errors are
  // those of `pack`.
  absl::StatusOr<kernels::PackedMatrix> Get(
      absl::string_view name, absl::FunctionRef<absl::StatusOr<kernels::PackedMatrix>()> pack);

  // All matrices were asked for: what was packed becomes the file of the next start.
  void Finish();

  // The matrices come from the file.
  bool is_warm() const { return file_.has_value(); }

 private:
  explicit WeightCache(std::filesystem::path path) : path_(std::move(path)) {}
  void Disable(const absl::Status& status);

  const std::filesystem::path path_;
  std::optional<kernels::PackedFile> file_;
  std::optional<kernels::PackedFileWriter> writer_;
};

}  // namespace oneai::models
