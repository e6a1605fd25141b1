#include "data_gov/catalog/catalog.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files/files.h"
#include "base/status.h"
#include "data_gov/policy/policy.h"

namespace oneai::gov {
namespace {

using data::v1::DatasetHeader;
using data::v1::DatasetVersion;

constexpr int kFilesMax = 10'000;

bool IsSafeName(absl::string_view part) {
  return !part.empty() && part.size() <= 64 && part[0] != '.' &&
         std::all_of(part.begin(), part.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

absl::Status ValidateFiles(const DatasetHeader& header) {
  if (header.files_size() == 0)
    return absl::InvalidArgumentError("files: a dataset needs at least one file");
  if (header.files_size() > kFilesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("files: ", header.files_size(), " is more than ", kFilesMax));
  }
  std::set<std::string> seen;
  for (const data::v1::DatasetFile& file : header.files()) {
    // Resolved against a folder that does not exist: only the form of the path is checked here.
    RETURN_IF_ERROR(Annotate(ResolveBeneath("/nonexistent", file.path()).status(), "files"));
    if (file.size_bytes() < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("files: ", file.path(), " has a negative size"));
    }
    if (!seen.insert(file.path()).second) {
      return absl::InvalidArgumentError(absl::StrCat("files: ", file.path(), " is named twice"));
    }
  }
  return absl::OkStatus();
}

std::string VersionKey(absl::string_view name, int32_t version) {
  return absl::StrFormat("datasets/%s/%010d", name, version);
}

absl::StatusOr<DatasetVersion> Parse(const KeyValue& item) {
  DatasetVersion version;
  if (!version.ParseFromString(item.value)) {
    return absl::DataLossError(absl::StrCat("catalog entry ", item.key, " does not parse"));
  }
  return version;
}

}  // namespace

absl::Status ValidateHeader(const DatasetHeader& header) {
  const std::vector<std::string> parts = absl::StrSplit(header.name(), '/');
  if (parts.size() != 2 || !IsSafeName(parts[0]) || !IsSafeName(parts[1])) {
    return absl::InvalidArgumentError(absl::StrCat(
        "name: \"", header.name(),
        "\" is not \"<business unit>/<dataset>\" of letters, digits, '-', '_' and '.'"));
  }
  if (header.classification() == data::v1::CLASSIFICATION_UNSPECIFIED ||
      !data::v1::Classification_IsValid(header.classification())) {
    return absl::InvalidArgumentError(
        "classification: choose public, internal, confidential or restricted");
  }
  if (header.allowed_purposes_size() == 0) {
    return absl::InvalidArgumentError(
        "allowed_purposes: name at least one, else nobody could ever read the data");
  }
  for (const std::string& purpose : header.allowed_purposes()) {
    RETURN_IF_ERROR(Annotate(ValidatePurpose(purpose), "allowed_purposes"));
  }
  return ValidateFiles(header);
}

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(Store* store, const Clock* clock,
                                                       std::filesystem::path root) {
  std::error_code error;
  std::filesystem::create_directories(root / "blobs", error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat("cannot make ", (root / "blobs").string(), ": ", error.message()));
  std::filesystem::remove_all(root / "intake", error);
  std::filesystem::create_directories(root / "intake", error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat("cannot make ", (root / "intake").string(), ": ", error.message()));
  return std::unique_ptr<Catalog>(new Catalog(store, clock, std::move(root)));
}

absl::StatusOr<std::unique_ptr<DatasetIntake>> Catalog::Begin(const DatasetHeader& header,
                                                              const common::v1::Principal& owner) {
  RETURN_IF_ERROR(ValidateHeader(header));
  std::unique_ptr<DatasetIntake> intake(new DatasetIntake(this, header, owner));
  RETURN_IF_ERROR(intake->OpenFile());
  RETURN_IF_ERROR(intake->CloseFinishedFiles());
  return intake;
}

absl::StatusOr<DatasetVersion> Catalog::Get(const std::string& ref) const {
  const std::pair<std::string, std::string> parts = absl::StrSplit(ref, absl::MaxSplits('@', 1));
  if (!parts.second.empty() || absl::EndsWith(ref, "@")) {
    int32_t version = 0;
    if (!absl::SimpleAtoi(parts.second, &version) || version < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", ref, "\": the version after '@' must be a positive number"));
    }
    absl::StatusOr<KeyValue> item = store_->Get(VersionKey(parts.first, version));
    if (absl::IsNotFound(item.status())) {
      return absl::NotFoundError(
          absl::StrCat("there is no dataset ", ref, "; `oneai data list` shows what there is"));
    }
    RETURN_IF_ERROR(item.status());
    return Parse(*item);
  }
  const std::string first = absl::StrCat("datasets/", parts.first, "/");
  ASSIGN_OR_RETURN(const RangeResult newest,
                   store_->Range(first, first + "~", 1, /*reverse=*/true));
  if (newest.items.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no dataset ", ref, "; `oneai data list` shows what there is"));
  }
  return Parse(newest.items[0]);
}

absl::StatusOr<data::v1::ListDatasetsResponse> Catalog::List() const {
  ASSIGN_OR_RETURN(const RangeResult all, store_->List("datasets/"));
  data::v1::ListDatasetsResponse response;
  for (const KeyValue& item : all.items) {
    ASSIGN_OR_RETURN(DatasetVersion version, Parse(item));
    const int last = response.datasets_size() - 1;
    if (last >= 0 && response.datasets(last).header().name() == version.header().name()) {
      *response.mutable_datasets(last) =
          std::move(version);  // keys ascend by version: the later one is newer
    } else {
      *response.add_datasets() = std::move(version);
    }
  }
  return response;
}

absl::StatusOr<std::filesystem::path> Catalog::ContentPath(const DatasetVersion& version,
                                                           const std::string& path) const {
  for (const data::v1::DatasetFile& file : version.header().files()) {
    if (file.path() == path) return BlobPath(file.sha256());
  }
  return absl::NotFoundError(absl::StrCat("dataset ", version.header().name(), "@",
                                          version.version(), " has no file \"", path, "\""));
}

absl::StatusOr<DatasetVersion> Catalog::Publish(DatasetVersion version) {
  // A competing registration takes the number first: read again and use the next one.
  for (int attempt = 0; attempt < 16; ++attempt) {
    absl::StatusOr<DatasetVersion> newest = Get(version.header().name());
    if (newest.ok()) {
      if (newest->sha256() == version.sha256() &&
          google::protobuf::util::MessageDifferencer::Equals(newest->header(), version.header())) {
        return newest;
      }
      version.set_version(newest->version() + 1);
    } else if (absl::IsNotFound(newest.status())) {
      version.set_version(1);
    } else {
      return newest.status();
    }
    const std::string key = VersionKey(version.header().name(), version.version());
    const absl::Status committed =
        store_->Commit(Transaction().If(key, 0).Put(key, version.SerializeAsString())).status();
    if (committed.ok()) return version;
    if (!absl::IsAborted(committed)) return committed;
  }
  return absl::AbortedError(
      absl::StrCat("too many registrations of ", version.header().name(), " at once; try again"));
}

}  // namespace oneai::gov
