#include "compute_fabric/jobs/placed_attempt.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

// artifacts/<job>/placed/gang or placed/<rank>
std::filesystem::path FileOf(const std::filesystem::path& artifact_dir, std::optional<int> rank) {
  return artifact_dir / "placed" / (rank ? absl::StrCat(*rank) : "gang");
}

class FoldersOnDisk final : public ArtifactFolders {
 public:
  absl::Status Create(const std::filesystem::path& artifact_dir) override {
    std::error_code error;
    std::filesystem::create_directories(artifact_dir, error);
    return error ? ErrnoStatus(error.value(), absl::StrCat("make folder ", artifact_dir.string()))
                 : absl::OkStatus();
  }
  absl::Status Announce(const std::filesystem::path& artifact_dir, std::optional<int> rank,
                        int attempt) override {
    return WritePlacedAttempt(artifact_dir, rank, attempt);
  }
};

}  // namespace

ArtifactFolders* ArtifactFolders::OnDisk() {
  static FoldersOnDisk folders;
  return &folders;
}

absl::Status WritePlacedAttempt(const std::filesystem::path& artifact_dir, std::optional<int> rank,
                                int attempt) {
  std::error_code error;
  std::filesystem::create_directories(artifact_dir / "placed", error);
  if (error)
    return ErrnoStatus(error.value(), absl::StrCat("making ", artifact_dir.string(), "/placed"));
  return WriteFileAtomically(FileOf(artifact_dir, rank), absl::StrCat(attempt, "\n"));
}

absl::StatusOr<int> ReadPlacedAttempt(const std::filesystem::path& artifact_dir, int rank) {
  int newest = 0;
  for (const std::optional<int> whose : {std::optional<int>(), std::optional<int>(rank)}) {
    const std::filesystem::path file = FileOf(artifact_dir, whose);
    const absl::StatusOr<std::string> text = ReadFile(file, 64);
    if (absl::IsNotFound(text.status())) continue;
    RETURN_IF_ERROR(text.status());
    int attempt = 0;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &attempt)) {
      return absl::DataLossError(absl::StrCat(file.string(), ": not an attempt number"));
    }
    newest = std::max(newest, attempt);
  }
  return newest;
}

}  // namespace oneai::fabric
