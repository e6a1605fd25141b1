// File: model_platform/registry/registry_client.h
//
// How a job talks to the model registry. The product links GrpcRegistryClient; tests put a fake
// behind the same interface.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "oneai/registry/v1/registry.grpc.pb.h"

namespace oneai::platform {

// Thread-compatible. Errors are those of the service (proto/oneai/registry/v1/registry.proto), or
// Unavailable.
class RegistryClient {
 public:
  virtual ~RegistryClient() = default;
  virtual absl::StatusOr<registry::v1::ModelVersion> Register(
      const registry::v1::RegisterModelRequest& request) = 0;
  virtual absl::StatusOr<registry::v1::ModelVersion> Get(const std::string& ref) = 0;
  virtual absl::StatusOr<registry::v1::ModelVersion> AttachEvaluation(
      const registry::v1::AttachEvaluationRequest& request) = 0;
};

class GrpcRegistryClient final : public RegistryClient {
 public:
  explicit GrpcRegistryClient(std::unique_ptr<registry::v1::RegistryService::StubInterface> stub)
      : stub_(std::move(stub)) {}

  absl::StatusOr<registry::v1::ModelVersion> Register(
      const registry::v1::RegisterModelRequest& request) override;
  absl::StatusOr<registry::v1::ModelVersion> Get(const std::string& ref) override;
  absl::StatusOr<registry::v1::ModelVersion> AttachEvaluation(
      const registry::v1::AttachEvaluationRequest& request) override;

 private:
  const std::unique_ptr<registry::v1::RegistryService::StubInterface> stub_;
};

}  // namespace oneai::platform
