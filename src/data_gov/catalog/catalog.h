// File: data_gov/catalog/catalog.h
//
// Datasets as immutable versions. Content lies once, under its SHA-256; a version is a row in the
// Store and appears only when every byte of it is on disk.
#pragma once

#include <openssl/evp.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/store/store.h"
#include "data_gov/pii/pii_scanner.h"
#include "oneai/data/v1/data.pb.h"

namespace oneai::gov {

// InvalidArgument naming the field: name not "<unit>/<name>", classification unset, no or unknown
// purposes, file paths that are absolute, have "..", repeat, or are empty; more than 10,000 files;
// a negative size.
absl::Status ValidateHeader(const data::v1::DatasetHeader& header);

class DatasetIntake;

// Thread-safe. Both pointers must outlive it.
class Catalog {
 public:
  // `root`: folder for content, made when absent; left-overs of broken intakes are removed.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(Store* store, const Clock* clock,
                                                       std::filesystem::path root);

  // Starts an intake; bytes follow in the order of header.files().
  absl::StatusOr<std::unique_ptr<DatasetIntake>> Begin(const data::v1::DatasetHeader& header,
                                                       const common::v1::Principal& owner);

  // `ref`: name (newest version) or name@version. NotFound, InvalidArgument.
  absl::StatusOr<data::v1::DatasetVersion> Get(const std::string& ref) const;
  // The newest version of each dataset.
  absl::StatusOr<data::v1::ListDatasetsResponse> List() const;

  // Path of one file's content. NotFound: the version has no such file.
  absl::StatusOr<std::filesystem::path> ContentPath(const data::v1::DatasetVersion& version,
                                                    const std::string& path) const;

 private:
  friend class DatasetIntake;
  Catalog(Store* store, const Clock* clock, std::filesystem::path root)
      : store_(store), clock_(clock), root_(std::move(root)) {}
  std::filesystem::path BlobPath(const std::string& sha256) const {
    return root_ / "blobs" / sha256;
  }
  absl::StatusOr<data::v1::DatasetVersion> Publish(data::v1::DatasetVersion version);

  Store* const store_;
  const Clock* const clock_;
  const std::filesystem::path root_;
};

// One registration under way. Dropping it before Finish() leaves nothing behind. Not thread-safe.
class DatasetIntake {
 public:
  ~DatasetIntake();
  DatasetIntake(const DatasetIntake&) = delete;
  DatasetIntake& operator=(const DatasetIntake&) = delete;

  // InvalidArgument: more bytes than declared, or a file's hash differs from the declared one.
  // ResourceExhausted: disk full.
  absl::Status Append(absl::string_view bytes);

  // FailedPrecondition: personal data in a set that is classified PUBLIC or INTERNAL (kinds and
  // counts). InvalidArgument: bytes are missing. Same content and header as the newest version:
  // returns that one.
  absl::StatusOr<data::v1::DatasetVersion> Finish();

 private:
  friend class Catalog;
  DatasetIntake(Catalog* catalog, data::v1::DatasetHeader header, common::v1::Principal owner);
  absl::Status OpenFile();
  absl::Status CloseFile();
  absl::Status CloseFinishedFiles();

  Catalog* const catalog_;
  data::v1::DatasetHeader header_;
  const common::v1::Principal owner_;
  PiiScanner scanner_;
  int file_index_ = 0;
  int64_t file_bytes_ = 0;
  int fd_ = -1;
  std::filesystem::path temporary_;
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash_;
};

}  // namespace oneai::gov
