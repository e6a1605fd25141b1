// File: serving/gateway/request_pipeline.h
//
// What every request goes through, whichever front it came by: authenticate -> authorise -> admit
// -> relay -> account.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "serving/gateway/endpoint_directory.h"
#include "serving/gateway/gateway_metrics.h"
#include "serving/gateway/generation_relay.h"
#include "serving/gateway/identity_cache.h"
#include "serving/gateway/load_meter.h"
#include "serving/gateway/tenant_limits.h"
#include "serving/gateway/usage_journal.h"

namespace oneai::serving {

// The parts, all of which outlive the pipeline.
struct PipelineParts {
  IdentityCache* identities;
  TenantLimits* limits;
  EndpointDirectory* directory;
  GenerationRelay* relay;
  UsageJournal* usage;
  GatewayMetrics* metrics;
  LoadMeter* load;
  const Clock* clock;
};

// When to come back after ResourceExhausted or Unavailable; kept in the status as
// google.rpc.RetryInfo, which gRPC callers receive, too. A second unless it says otherwise.
absl::Duration RetryAfterOf(const absl::Status& status);

// Thread-safe.
class RequestPipeline {
 public:
  explicit RequestPipeline(const PipelineParts& parts) : parts_(parts) {}

  // `authorization` is the header's or metadata's whole value. Unauthenticated, Unavailable.
  absl::StatusOr<Identity> Authenticate(absl::string_view authorization) const;

  // The endpoints that `caller` may call. Unavailable: they are not known yet.
  absl::StatusOr<std::vector<EndpointView>> ListModels(const Identity& caller) const;
  // NotFound; Unavailable; PermissionDenied: the caller's roles do not cover the endpoint's
  // business unit.
  absl::StatusOr<EndpointView> FindModel(const Identity& caller, const std::string& model) const;

  // Errors beside those of FindModel and GenerationRelay: ResourceExhausted (limits). The request's
  // id and tenant are set here.
  absl::Status Stream(const Identity& caller, GenerationRequest request, ClientCall& call,
                      const ChunkConsumer& consume) const;
  absl::StatusOr<inference::v1::GenerationResponse> Collect(const Identity& caller,
                                                            GenerationRequest request,
                                                            ClientCall& call) const;

  // One answer, no stream; errors as Collect.
  absl::StatusOr<inference::v1::EmbedResponse> Embed(const Identity& caller,
                                                     inference::v1::EmbedRequest request,
                                                     ClientCall& call) const;
  absl::StatusOr<inference::v1::RerankResponse> Rerank(const Identity& caller,
                                                       inference::v1::RerankRequest request,
                                                       ClientCall& call) const;
  absl::StatusOr<inference::v1::ClassifyResponse> Classify(const Identity& caller,
                                                           inference::v1::ClassifyRequest request,
                                                           ClientCall& call) const;

 private:
  class Account;
  using InferenceStub = inference::v1::InferenceService::StubInterface;
  template <typename Request, typename Response>
  using Method = grpc::Status (InferenceStub::*)(grpc::ClientContext*, const Request&, Response*);

  absl::StatusOr<std::unique_ptr<TenantLimits::Ticket>> Admit(const Identity& caller,
                                                              const std::string& name) const;
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(const Identity& caller, const char* api, Request request,
                               ClientCall& call, Method<Request, Response> method) const;
  absl::Status Refuse(absl::Status status) const;

  const PipelineParts parts_;
};

}  // namespace oneai::serving
