// File: model_platform/data/governed_datasets.h
//
// Datasets through DataService: every open states a purpose and is decided and audited there.
#pragma once

#include <memory>

#include "model_platform/data/dataset_source.h"
#include "oneai/data/v1/data.grpc.pb.h"

namespace oneai::platform {

class GovernedDatasets final : public DatasetSource {
 public:
  explicit GovernedDatasets(std::unique_ptr<data::v1::DataService::StubInterface> stub)
      : stub_(std::move(stub)) {}

  absl::StatusOr<OpenedDataset> Open(const std::string& ref, const std::string& purpose) override;
  // A stream that breaks is taken up again at the byte reached, a few times; Unavailable after
  // that.
  absl::Status Read(const OpenedDataset& dataset, const DatasetFile& file,
                    absl::FunctionRef<absl::Status(absl::string_view)> on_bytes) override;

 private:
  const std::unique_ptr<data::v1::DataService::StubInterface> stub_;
};

}  // namespace oneai::platform
