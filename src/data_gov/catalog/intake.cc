// DatasetIntake: bytes arrive once, and are written, hashed and scanned in that one pass.
#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files/files.h"
#include "base/ids.h"
#include "base/status.h"
#include "data_gov/catalog/catalog.h"

namespace oneai::gov {
namespace {

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("writing ", path));
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// The identity of a version: what its files are called and contain.
std::string ContentHashOf(const data::v1::DatasetHeader& header) {
  std::vector<std::string> lines;
  for (const data::v1::DatasetFile& file : header.files()) {
    lines.push_back(absl::StrCat(file.path(), "\n", file.sha256(), "\n"));
  }
  std::sort(lines.begin(), lines.end());
  return Sha256Hex(absl::StrJoin(lines, ""));
}

}  // namespace

DatasetIntake::DatasetIntake(Catalog* catalog, data::v1::DatasetHeader header,
                             common::v1::Principal owner)
    : catalog_(catalog),
      header_(std::move(header)),
      owner_(std::move(owner)),
      hash_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {}

DatasetIntake::~DatasetIntake() {
  if (fd_ >= 0) close(fd_);
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove(temporary_, ignored);
}

absl::Status DatasetIntake::OpenFile() {
  temporary_ = catalog_->root_ / "intake" / NewId("file-");
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) return ErrnoStatus(errno, absl::StrCat("creating ", temporary_.string()));
  file_bytes_ = 0;
  if (EVP_DigestInit_ex(hash_.get(), EVP_sha256(), nullptr) != 1)
    return absl::InternalError("SHA-256 is not available");
  return absl::OkStatus();
}

absl::Status DatasetIntake::CloseFile() {
  data::v1::DatasetFile& file = *header_.mutable_files(file_index_);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  EVP_DigestFinal_ex(hash_.get(), digest, &digest_bytes);
  const std::string sha256 = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), digest_bytes));
  if (!file.sha256().empty() && file.sha256() != sha256) {
    return absl::InvalidArgumentError(
        absl::StrCat("file ", file.path(), " has SHA-256 ", sha256, ", but ", file.sha256(),
                     " was declared: it changed or was damaged on the way"));
  }
  file.set_sha256(sha256);
  if (fsync(fd_) != 0) return ErrnoStatus(errno, absl::StrCat("fsync of ", temporary_.string()));
  close(fd_);
  fd_ = -1;
  // The same content may exist already: then this replaces it by itself.
  if (rename(temporary_.c_str(), catalog_->BlobPath(sha256).c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("storing ", file.path()));
  }
  temporary_.clear();
  RETURN_IF_ERROR(SyncDirectory(catalog_->root_ / "blobs"));
  scanner_.Add("\n");  // a value does not continue in the next file
  ++file_index_;
  return absl::OkStatus();
}

absl::Status DatasetIntake::CloseFinishedFiles() {
  while (file_index_ < header_.files_size() &&
         file_bytes_ == header_.files(file_index_).size_bytes()) {
    RETURN_IF_ERROR(CloseFile());
    if (file_index_ < header_.files_size()) RETURN_IF_ERROR(OpenFile());
  }
  return absl::OkStatus();
}

absl::Status DatasetIntake::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    if (file_index_ >= header_.files_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(bytes.size(), " bytes more than the declared sizes add up to"));
    }
    const int64_t wanted = header_.files(file_index_).size_bytes() - file_bytes_;
    const absl::string_view part =
        bytes.substr(0, static_cast<size_t>(std::min<int64_t>(wanted, bytes.size())));
    RETURN_IF_ERROR(WriteAll(fd_, part, temporary_.string()));
    EVP_DigestUpdate(hash_.get(), part.data(), part.size());
    scanner_.Add(part);
    file_bytes_ += static_cast<int64_t>(part.size());
    bytes.remove_prefix(part.size());
    RETURN_IF_ERROR(CloseFinishedFiles());
  }
  return absl::OkStatus();
}

absl::StatusOr<data::v1::DatasetVersion> DatasetIntake::Finish() {
  if (file_index_ < header_.files_size()) {
    const data::v1::DatasetFile& file = header_.files(file_index_);
    return absl::InvalidArgumentError(absl::StrCat(
        "file ", file.path(), " ended after ", file_bytes_, " of ", file.size_bytes(), " bytes"));
  }
  data::v1::DatasetVersion version;
  std::vector<std::string> kinds;
  for (data::v1::PiiFinding& finding : scanner_.Finish()) {
    kinds.push_back(
        absl::StrCat(finding.count(), " ", finding.kind(), " (such as ", finding.example(), ")"));
    *version.add_pii() = std::move(finding);
  }
  if (!kinds.empty() && header_.classification() < data::v1::CONFIDENTIAL) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the data is classified ", data::v1::Classification_Name(header_.classification()),
        " but holds personal data: ", absl::StrJoin(kinds, ", "),
        "; anonymise it, or register it as confidential or restricted"));
  }
  *version.mutable_header() = header_;
  *version.mutable_owner() = owner_;
  version.set_sha256(ContentHashOf(header_));
  *version.mutable_created() = google::protobuf::util::TimeUtil::MillisecondsToTimestamp(
      absl::ToUnixMillis(catalog_->clock_->Now()));
  return catalog_->Publish(std::move(version));
}

}  // namespace oneai::gov
