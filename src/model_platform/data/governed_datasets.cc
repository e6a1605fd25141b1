#include "model_platform/data/governed_datasets.h"

#include <openssl/evp.h>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "base/grpc/channel.h"
#include "base/grpc/status.h"
#include "base/status.h"

namespace oneai::platform {
namespace {

constexpr absl::Duration kOpenTimeout = absl::Seconds(30);
constexpr absl::Duration kReadTimeout = absl::Minutes(30);
// A controller that restarts is back within this. Both calls may be repeated: a grant that nobody
// heard of is never used, and reading goes on at the byte it had reached.
constexpr absl::Duration kPatience = absl::Minutes(2);
constexpr absl::Duration kPause = absl::Milliseconds(500);

absl::Status WithRetries(absl::FunctionRef<absl::Status()> call) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (true) {
    const absl::Status status = call();
    if (!absl::IsUnavailable(status) || absl::Now() > give_up) return status;
    absl::SleepFor(kPause);
  }
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Update(absl::string_view bytes) {
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  std::string Hex() {
    std::string digest(32, '\0');
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return absl::BytesToHexString(digest);
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

// What one file's reading has reached; survives a broken stream.
struct Progress {
  int64_t bytes = 0;
  Sha256 sha256;
};

absl::Status ReadOnce(data::v1::DataService::StubInterface& stub, const OpenedDataset& dataset,
                      const DatasetFile& file, Progress& progress,
                      absl::FunctionRef<absl::Status(absl::string_view)> on_bytes) {
  grpc::ClientContext context;
  PrepareContext(context, kReadTimeout);
  data::v1::ReadDatasetRequest request;
  request.set_grant_id(dataset.grant_id);
  request.set_path(file.path);
  request.set_offset(progress.bytes);
  const auto reader = stub.ReadDataset(&context, request);
  data::v1::DataChunk chunk;
  absl::Status consumed;
  while (consumed.ok() && reader->Read(&chunk)) {
    if (chunk.offset() != progress.bytes) {
      consumed = absl::DataLossError(absl::StrCat(file.path, ": the stream jumped to byte ",
                                                  chunk.offset(), " at ", progress.bytes));
    } else if (progress.bytes + static_cast<int64_t>(chunk.data().size()) > file.size_bytes) {
      consumed = absl::DataLossError(
          absl::StrCat(file.path, ": more than its ", file.size_bytes, " bytes arrived"));
    } else {
      progress.bytes += static_cast<int64_t>(chunk.data().size());
      progress.sha256.Update(chunk.data());
      consumed = on_bytes(chunk.data());
    }
  }
  if (!consumed.ok()) context.TryCancel();
  const absl::Status finished = FromGrpcStatus(reader->Finish());
  return consumed.ok() ? finished : consumed;
}

}  // namespace

absl::StatusOr<OpenedDataset> GovernedDatasets::Open(const std::string& ref,
                                                     const std::string& purpose) {
  data::v1::OpenDatasetRequest request;
  request.set_dataset(ref);
  request.set_purpose(purpose);
  data::v1::OpenDatasetResponse response;
  const absl::Status status = WithRetries([&] {
    grpc::ClientContext context;
    PrepareContext(context, kOpenTimeout);
    return FromGrpcStatus(stub_->OpenDataset(&context, request, &response));
  });
  RETURN_IF_ERROR(Annotate(status, absl::StrCat("opening dataset ", ref, " for ", purpose)));
  OpenedDataset opened;
  const data::v1::DatasetVersion& version = response.dataset();
  opened.name = version.header().name();
  opened.version = version.version();
  opened.sha256 = version.sha256();
  opened.license = version.header().license();
  opened.grant_id = response.grant_id();
  for (const data::v1::DatasetFile& file : version.header().files()) {
    opened.files.push_back({file.path(), file.size_bytes(), file.sha256()});
  }
  return opened;
}

absl::Status GovernedDatasets::Read(const OpenedDataset& dataset, const DatasetFile& file,
                                    absl::FunctionRef<absl::Status(absl::string_view)> on_bytes) {
  Progress progress;
  const absl::Status status =
      WithRetries([&] { return ReadOnce(*stub_, dataset, file, progress, on_bytes); });
  RETURN_IF_ERROR(Annotate(status, absl::StrCat("reading ", file.path, " of ", dataset.ref())));
  if (progress.bytes != file.size_bytes || progress.sha256.Hex() != file.sha256) {
    return absl::DataLossError(absl::StrCat(file.path, " of ", dataset.ref(), ": ", progress.bytes,
                                            " bytes arrived whose SHA-256 is not the registered ",
                                            "one (", file.size_bytes, " bytes, ", file.sha256,
                                            ")"));
  }
  return absl::OkStatus();
}

}  // namespace oneai::platform
