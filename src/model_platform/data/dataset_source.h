// File: model_platform/data/dataset_source.h
//
// Where documents come from. The one implementation that the product links, GovernedDatasets, asks
// data governance; tests put a fake behind the same interface.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace oneai::platform {

struct DatasetFile {
  std::string path;
  int64_t size_bytes = 0;
  std::string sha256;  // lower-case hex
};

// A dataset version that was opened for a purpose.
struct OpenedDataset {
  std::string name;
  int32_t version = 0;
  std::string sha256;  // of the version
  std::string license;
  std::vector<DatasetFile> files;
  std::string grant_id;

  std::string ref() const { return absl::StrCat(name, "@", version); }
};

// Thread-compatible.
class DatasetSource {
 public:
  virtual ~DatasetSource() = default;

  // Asks for access. NotFound: no such dataset. PermissionDenied names the rule that forbids it.
  virtual absl::StatusOr<OpenedDataset> Open(const std::string& ref,
                                             const std::string& purpose) = 0;

  // Calls `on_bytes` with the file's content in order. An error of `on_bytes` ends the reading and
  // is returned. DataLoss, naming the file: its size or SHA-256 is not that of the version; what
  // was delivered before must then be discarded.
  virtual absl::Status Read(const OpenedDataset& dataset, const DatasetFile& file,
                            absl::FunctionRef<absl::Status(absl::string_view)> on_bytes) = 0;
};

}  // namespace oneai::platform
