#include "models/weights/open_weights.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/gguf/gguf_source.h"
#include "models/weights/safetensors_source.h"

namespace oneai::models {
namespace {

bool HasExtension(const std::filesystem::path& path, absl::string_view extension) {
  return absl::AsciiStrToLower(path.extension().string()) == extension;
}

}  // namespace

absl::StatusOr<std::filesystem::path> FindGguf(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return absl::NotFoundError(absl::StrCat(path.string(), ": no such file or folder"));
  if (!std::filesystem::is_directory(path, ignored))
    return HasExtension(path, ".gguf") ? path : std::filesystem::path();
  if (std::filesystem::exists(path / "model.safetensors", ignored) ||
      std::filesystem::exists(path / "model.safetensors.index.json", ignored))
    return std::filesystem::path();
  std::filesystem::path found;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    if (!HasExtension(entry.path(), ".gguf")) continue;
    if (!found.empty())
      return absl::InvalidArgumentError(
          absl::StrCat(path.string(), ": has several .gguf files; name the one that is meant"));
    found = entry.path();
  }
  return found;
}

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenWeights(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::filesystem::path gguf, FindGguf(path));
  if (!gguf.empty()) {
    ASSIGN_OR_RETURN(auto file, GgufFile::Open(gguf));
    return OpenGgufSource(std::move(file));
  }
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return OpenSafetensorsFile(path);
  return OpenSafetensorsFolder(path);
}

}  // namespace oneai::models
