// File: models/model_tool/model_file_list.h
//
// The regular files that make up a model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"

namespace oneai::models {

struct ModelFile {
  std::filesystem::path path;
  int64_t bytes = 0;
};

// The file itself, or those directly in the folder, by name. NotFound: nothing there.
absl::StatusOr<std::vector<ModelFile>> ListModelFiles(const std::filesystem::path& path);

}  // namespace oneai::models
