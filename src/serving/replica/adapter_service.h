// File: serving/replica/adapter_service.h
//
// oneai.inference.v1.AdapterService of one replica. Calls may take long (files are read, requests
// are waited for), so each has a thread of the server's, apart from those that write answers.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "oneai/inference/v1/adapters.grpc.pb.h"
#include "serving/engine/engine.h"
#include "serving/replica/adapter_names.h"

namespace oneai::serving {

namespace v1 = ::oneai::inference::v1;

// Reads the adapter, then lets requests name it. Errors: those of AdapterNames::Reserve and
// Engine::LoadAdapter, naming the adapter.
absl::Status LoadNamedAdapter(Engine& engine, AdapterNames names, const std::string& name,
                              const std::filesystem::path& folder);

// Thread-safe.
class AdapterService final : public v1::AdapterService::Service {
 public:
  // `engine` must outlive the service.
  AdapterService(AdapterNames names, Engine* engine) : names_(std::move(names)), engine_(engine) {}

  grpc::Status LoadAdapter(grpc::ServerContext* context, const v1::LoadAdapterRequest* request,
                           v1::AdapterCard* response) override;
  grpc::Status UnloadAdapter(grpc::ServerContext* context, const v1::UnloadAdapterRequest* request,
                             v1::UnloadAdapterResponse* response) override;
  grpc::Status ListAdapters(grpc::ServerContext* context, const v1::ListAdaptersRequest* request,
                            v1::ListAdaptersResponse* response) override;

 private:
  AdapterNames names_;
  Engine* const engine_;
};

}  // namespace oneai::serving
