// File: models/runtime/weight_cache.h
//
// Packed weights in a file, so that a second start of a model maps what the first one packed: tens
// of milliseconds instead of seconds, and replicas on one machine share the memory. A cache only
// helps: whatever is wrong with it (damage, no room, a writer that was killed) is logged, and the
// weights are packed from the model's own files.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/gemm/packed_file.h"
#include "kernels/gemm/packed_matrix.h"

namespace oneai::models {

// What the weight files of `model` (a folder or a file) are now: names, sizes, times of change.
// Part of a cache's fingerprint, so that a changed model is packed anew.
std::string DescribeWeightFiles(const std::filesystem::path& model);
// The sum of their sizes.
int64_t WeightFileBytes(const std::filesystem::path& model);

// Thread-compatible. The matrices that it gives borrow it when it is warm.
class WeightCache {
 public:
  // The cache in `folder` (made if it is missing, mode 0700) for weights that `fingerprint`
  // describes: everything that decides their packed bytes. All payloads of a file that is there are
  // compared with their checksums, at memory speed; using it sets its time of change, so that an
  // owner of the folder can drop what was not used for long. Nothing is kept if `bytes_expected` of
  // packed weights would leave less than 2 GiB, or a tenth of a smaller disk. Null: `folder` is
  // empty or cannot be used.
  static std::unique_ptr<WeightCache> Open(const std::filesystem::path& folder,
                                           const std::string& fingerprint,
                                           int64_t bytes_expected = 0);
  // Waits for what Finish() began.
  ~WeightCache();

  // The matrix `name` from the file; else packed by `pack`, and kept for the next start. Errors are
  // those of `pack`.
  absl::StatusOr<kernels::PackedMatrix> Get(
      absl::string_view name, absl::FunctionRef<absl::StatusOr<kernels::PackedMatrix>()> pack);

  // All matrices were asked for: what was packed becomes the file of the next start. That goes on
  // in a thread of its own, since nobody need wait for the disk.
  void Finish();

  // The matrices come from the file.
  bool is_warm() const { return file_.has_value(); }

 private:
  explicit WeightCache(std::filesystem::path path) : path_(std::move(path)) {}
  bool OpenFile(const std::string& fingerprint);
  void Disable(const absl::Status& status);

  const std::filesystem::path path_;
  std::optional<kernels::PackedFile> file_;
  std::optional<kernels::PackedFileWriter> writer_;  // of the thread once it runs
  std::thread finish_;
};

}  // namespace oneai::models
