// Where tests find their inputs: the repo itself, the built binaries, and (optionally) the full shared data.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace oneai::testing {

inline std::filesystem::path FromEnvironment(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : fallback;
}

// Extracts that live in the repo; origin and licence in tests/data/README.md.
inline std::filesystem::path DataDir() {
  return FromEnvironment("ONEAI_SOURCE_DIR", ".") / "tests" / "data";
}

// Folder of the oneai binaries of this build.
inline std::filesystem::path BinDir() { return FromEnvironment("ONEAI_BIN_DIR", "bin"); }

// The full golden files and data sets (CMake variable ONEAI_SHARED_DIR); nullopt when this machine has none.
inline std::optional<std::filesystem::path> SharedDir() {
  std::filesystem::path dir = FromEnvironment("ONEAI_SHARED_DIR", "");
  if (dir.empty() || !std::filesystem::is_directory(dir)) return std::nullopt;
  return dir;
}

}  // namespace oneai::testing
