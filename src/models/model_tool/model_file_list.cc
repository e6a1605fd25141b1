#include "models/model_tool/model_file_list.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace oneai::models {

absl::StatusOr<std::vector<ModelFile>> ListModelFiles(const std::filesystem::path& path) {
  std::error_code error;
  std::vector<ModelFile> files;
  if (std::filesystem::is_regular_file(path, error)) {
    files.push_back({path, static_cast<int64_t>(std::filesystem::file_size(path, error))});
    return files;
  }
  if (!std::filesystem::is_directory(path, error))
    return absl::NotFoundError(absl::StrCat(path.string(), ": no such file or folder"));
  for (const auto& entry : std::filesystem::directory_iterator(path, error))
    if (entry.is_regular_file(error))
      files.push_back({entry.path(), static_cast<int64_t>(entry.file_size(error))});
  std::sort(files.begin(), files.end(),
            [](const ModelFile& a, const ModelFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace oneai::models
