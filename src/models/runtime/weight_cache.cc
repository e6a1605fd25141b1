#include "models/runtime/weight_cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/log/log.h"

namespace oneai::models {
namespace {

namespace fs = std::filesystem;

constexpr char kFingerprintEntry[] = "fingerprint";

absl::Span<const std::byte> BytesOf(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

bool HoldsWeights(const fs::path& file) {
  const fs::path extension = file.extension();
  return extension == ".safetensors" || extension == ".gguf" || extension == ".json";
}

std::string DescribeFile(const fs::path& file) {
  struct stat info = {};
  if (stat(file.c_str(), &info) != 0) return absl::StrCat(file.filename().string(), " missing");
  return absl::StrCat(file.filename().string(), " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec);
}

}  // namespace

std::string DescribeWeightFiles(const fs::path& model) {
  std::error_code error;
  std::vector<std::string> files;
  const fs::path absolute = fs::weakly_canonical(model, error);
  if (fs::is_directory(model, error)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(model, error)) {
      if (HoldsWeights(entry.path())) files.push_back(DescribeFile(entry.path()));
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(DescribeFile(model));
  }
  return absl::StrCat(absolute.string(), "\n", absl::StrJoin(files, "\n"));
}

std::unique_ptr<WeightCache> WeightCache::Open(const fs::path& folder,
                                               const std::string& fingerprint) {
  if (folder.empty()) return nullptr;
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  const uint64_t name = kernels::Checksum64(BytesOf(fingerprint));
  auto cache =
      std::unique_ptr<WeightCache>(new WeightCache(folder / absl::StrFormat("%016x.packed", name)));
  absl::StatusOr<kernels::PackedFile> file = kernels::PackedFile::Open(cache->path_.string());
  if (file.ok()) {
    const absl::StatusOr<absl::Span<const std::byte>> stored = file->Bytes(kFingerprintEntry);
    if (stored.ok() && *stored == BytesOf(fingerprint)) {
      cache->file_ = *std::move(file);
      return cache;
    }
  } else if (!absl::IsNotFound(file.status())) {
    Log::Warning("packed weights are made anew",
                 {{"file", cache->path_.string()}, {"why", file.status()}});
  }
  absl::StatusOr<kernels::PackedFileWriter> writer =
      kernels::PackedFileWriter::Create(cache->path_.string());
  absl::Status status = writer.status();
  if (status.ok()) status = writer->AddBytes(kFingerprintEntry, BytesOf(fingerprint));
  if (!status.ok()) {
    cache->Disable(status);
    return nullptr;
  }
  cache->writer_.emplace(*std::move(writer));
  return cache;
}

absl::StatusOr<kernels::PackedMatrix> WeightCache::Get(
    absl::string_view name, absl::FunctionRef<absl::StatusOr<kernels::PackedMatrix>()> pack) {
  if (file_.has_value() && file_->Contains(name)) {
    absl::StatusOr<kernels::PackedMatrix> mapped = file_->Matrix(name);
    if (mapped.ok()) return mapped;
    Log::Warning("packed weights are made anew", {{"matrix", name}, {"why", mapped.status()}});
  }
  absl::StatusOr<kernels::PackedMatrix> packed = pack();
  if (packed.ok() && writer_.has_value()) {
    const absl::Status added = writer_->Add(name, *packed);
    if (!added.ok()) Disable(added);
  }
  return packed;
}

void WeightCache::Finish() {
  if (!writer_.has_value()) return;
  const absl::Status written = writer_->Finish();
  if (!written.ok()) return Disable(written);
  writer_.reset();
}

void WeightCache::Disable(const absl::Status& status) {
  writer_.reset();  // removes what it has written
  Log::Warning("packed weights are not kept; the next start packs them again",
               {{"file", path_.string()}, {"why", status}});
}

}  // namespace oneai::models
