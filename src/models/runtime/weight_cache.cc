#include "models/runtime/weight_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
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
constexpr int64_t kDiskReserveBytes = int64_t{2} << 30;
constexpr std::chrono::minutes kLeftoverAge(10);  // a living writer writes more often

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

int64_t WeightFileBytes(const fs::path& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) {
    const uintmax_t bytes = fs::file_size(model, error);
    return error ? 0 : static_cast<int64_t>(bytes);
  }
  int64_t sum = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(model, error)) {
    const fs::path extension = entry.path().extension();
    if (extension != ".safetensors" && extension != ".gguf") continue;
    const uintmax_t bytes = entry.file_size(error);
    if (!error) sum += static_cast<int64_t>(bytes);
  }
  return sum;
}

namespace {

// A full disk hurts others: the node's own records, tasks that write checkpoints.
absl::Status CheckRoom(const fs::path& folder, int64_t bytes_expected) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return absl::OkStatus();  // writing will tell
  const auto available = static_cast<int64_t>(space.available);
  const int64_t reserve = std::min(static_cast<int64_t>(space.capacity / 10), kDiskReserveBytes);
  if (available - bytes_expected >= reserve) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      folder.string(), " has ", available >> 20, " MiB left; packed weights take about ",
      bytes_expected >> 20, " MiB, and ", reserve >> 20, " MiB must stay free"));
}

// What a writer left that was killed: it is not written to any more.
void RemoveLeftovers(const fs::path& folder) {
  std::error_code error;
  const auto long_ago = fs::file_time_type::clock::now() - kLeftoverAge;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().find(".packed.tmp.") == std::string::npos) continue;
    const fs::file_time_type changed = entry.last_write_time(error);
    if (error || changed > long_ago) continue;
    if (fs::remove(entry.path(), error)) {
      Log::Info("removed packed weights whose writer did not live to finish them",
                {{"file", entry.path().string()}});
    }
  }
}

}  // namespace

std::unique_ptr<WeightCache> WeightCache::Open(const fs::path& folder,
                                               const std::string& fingerprint,
                                               int64_t bytes_expected) {
  if (folder.empty()) return nullptr;
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  const uint64_t name = kernels::Checksum64(BytesOf(fingerprint));
  auto cache =
      std::unique_ptr<WeightCache>(new WeightCache(folder / absl::StrFormat("%016x.packed", name)));
  if (cache->OpenFile(fingerprint)) return cache;
  RemoveLeftovers(folder);
  absl::Status status = CheckRoom(folder, bytes_expected);
  if (status.ok()) {
    absl::StatusOr<kernels::PackedFileWriter> writer =
        kernels::PackedFileWriter::Create(cache->path_.string());
    status = writer.status();
    if (status.ok()) status = writer->AddBytes(kFingerprintEntry, BytesOf(fingerprint));
    if (status.ok()) {
      cache->writer_.emplace(*std::move(writer));
      return cache;
    }
  }
  cache->Disable(status);
  return nullptr;
}

// True: the file is there, whole, and of these weights.
bool WeightCache::OpenFile(const std::string& fingerprint) {
  absl::StatusOr<kernels::PackedFile> file = kernels::PackedFile::Open(path_.string());
  if (absl::IsNotFound(file.status())) return false;
  absl::Status status = file.status();
  if (status.ok()) {
    const absl::StatusOr<absl::Span<const std::byte>> stored = file->Bytes(kFingerprintEntry);
    if (!stored.ok() || *stored != BytesOf(fingerprint)) return false;  // others, of the same name
    status = file->Verify();
  }
  if (!status.ok()) {
    Log::Warning("packed weights are made anew", {{"file", path_.string()}, {"why", status}});
    return false;
  }
  utimensat(AT_FDCWD, path_.c_str(), nullptr, 0);  // a folder that is only read stays as it is
  file_ = *std::move(file);
  return true;
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
  finish_ = std::thread([this] {
    const absl::Status written = writer_->Finish();
    if (!written.ok()) return Disable(written);
    writer_.reset();
    Log::Info("packed weights are kept for the next start", {{"file", path_.string()}});
  });
}

WeightCache::~WeightCache() {
  if (finish_.joinable()) finish_.join();
}

void WeightCache::Disable(const absl::Status& status) {
  writer_.reset();  // removes what it has written
  Log::Warning("packed weights are not kept; the next start packs them again",
               {{"file", path_.string()}, {"why", status}});
}

}  // namespace oneai::models
