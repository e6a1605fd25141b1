#include "models/weights/open_weights.h"

#include "absl/strings/str_cat.h"
#include "models/weights/safetensors_source.h"

namespace oneai::models {

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenWeights(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return absl::NotFoundError(absl::StrCat(path.string(), ": no such file or folder"));
  if (path.extension() == ".safetensors") return OpenSafetensorsFile(path);
  return OpenSafetensorsFolder(path);
}

}  // namespace oneai::models
