// A DatasetSource and a RegistryClient without a controller, for tests alone.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/files/files.h"
#include "model_platform/data/dataset_source.h"
#include "model_platform/registry/registry_client.h"

namespace oneai::platform::testing {

// Holds files in memory and hands them out in small chunks.
class FakeDatasets final : public DatasetSource {
 public:
  explicit FakeDatasets(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  absl::StatusOr<OpenedDataset> Open(const std::string& ref, const std::string& purpose) override {
    opened.push_back(ref + " for " + purpose);
    if (purpose == forbidden_purpose) {
      return absl::PermissionDeniedError("rule no-" + purpose + " forbids it");
    }
    OpenedDataset dataset;
    dataset.name = ref.substr(0, ref.find('@'));
    dataset.version = version;
    dataset.license = "public-domain";
    std::string all;
    for (const auto& [path, content] : files_) {
      dataset.files.push_back({path, static_cast<int64_t>(content.size()), Sha256Hex(content)});
      all += dataset.files.back().sha256;
    }
    dataset.sha256 = Sha256Hex(all);
    return dataset;
  }

  absl::Status Read(const OpenedDataset&, const DatasetFile& file,
                    absl::FunctionRef<absl::Status(absl::string_view)> on_bytes) override {
    ++num_reads;
    const absl::string_view content = files_.at(file.path);
    for (size_t at = 0; at < content.size(); at += chunk_bytes) {
      if (absl::Status status = on_bytes(content.substr(at, chunk_bytes)); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  size_t chunk_bytes = 1000;
  int32_t version = 1;
  std::string forbidden_purpose;
  std::vector<std::string> opened;
  int num_reads = 0;

 private:
  const std::map<std::string, std::string> files_;
};

// Remembers what it was told.
class FakeRegistry final : public RegistryClient {
 public:
  absl::StatusOr<registry::v1::ModelVersion> Register(
      const registry::v1::RegisterModelRequest& request) override {
    registered.push_back(request);
    registry::v1::ModelVersion version;
    version.set_name(request.name());
    version.set_version(static_cast<int32_t>(registered.size()));
    return version;
  }
  absl::StatusOr<registry::v1::ModelVersion> Get(const std::string&) override { return model; }
  absl::StatusOr<registry::v1::ModelVersion> AttachEvaluation(
      const registry::v1::AttachEvaluationRequest& request) override {
    attached.push_back(request);
    return model;
  }

  registry::v1::ModelVersion model;
  std::vector<registry::v1::RegisterModelRequest> registered;
  std::vector<registry::v1::AttachEvaluationRequest> attached;
};

}  // namespace oneai::platform::testing
