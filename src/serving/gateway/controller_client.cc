// File: serving/gateway/controller_client.cc
#include "serving/gateway/controller_client.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "absl/strings/str_cat.h"
#include "base/grpc/channel.h"
#include "base/grpc/status.h"
#include "base/log/log.h"
#include "base/status.h"
#include "oneai/auth/v1/auth.grpc.pb.h"

namespace oneai::serving {

IdentityCache::Resolver NewIdentityResolver(std::shared_ptr<grpc::Channel> controller) {
  std::shared_ptr<auth::v1::AuthService::Stub> stub = auth::v1::AuthService::NewStub(controller);
  return [stub](const std::string& secret) -> absl::StatusOr<Identity> {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(5));
    auth::v1::AuthenticateRequest request;
    request.set_secret(secret);
    auth::v1::WhoAmIResponse response;
    RETURN_IF_ERROR(FromGrpcStatus(stub->Authenticate(&context, request, &response)));
    Identity identity;
    identity.principal = response.principal();
    identity.bindings.assign(response.bindings().begin(), response.bindings().end());
    return identity;
  };
}

EndpointDirectory::Connector NewReplicaConnector(const TlsCredentials& tls) {
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = tls.ca_pem;
  ssl.pem_cert_chain = tls.certificate_pem;
  ssl.pem_private_key = tls.private_key_pem;
  const std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::SslCredentials(ssl);
  return [credentials](const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetMaxReceiveMessageSize(16 << 20);
    return std::shared_ptr<inference::v1::InferenceService::StubInterface>(
        inference::v1::InferenceService::NewStub(
            grpc::CreateCustomChannel(address, credentials, arguments)));
  };
}

void UsageReporter::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void UsageReporter::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  thread_.join();
  ReportAll().IgnoreError();
}

absl::StatusOr<int64_t> UsageReporter::Send(const fabric::v1::ReportUsageRequest& request) {
  grpc::ClientContext context;
  PrepareContext(context, absl::Seconds(5));
  fabric::v1::ReportUsageResponse response;
  RETURN_IF_ERROR(FromGrpcStatus(stub_->ReportUsage(&context, request, &response)));
  return response.last_sequence();
}

absl::Status UsageReporter::ReportAll() {
  // The load goes with every report, for each one replaces what the controller knew of it; a report
  // of sequence 0 has nothing else.
  fabric::v1::ReportUsageRequest request;
  request.set_gateway(journal_->gateway_id());
  for (const auto& [endpoint, mean] : load_->Read()) {
    fabric::v1::EndpointLoad& load = *request.add_loads();
    load.set_endpoint(endpoint);
    load.set_requests_in_flight(mean.in_flight);
    load.set_requests_queued(mean.queued);
  }
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<UsageBatch> batch, journal_->NextBatch());
    if (!batch.has_value())
      return request.sequence() > 0 ? absl::OkStatus() : Send(request).status();
    request.set_sequence(batch->sequence);
    request.clear_deltas();
    for (const UsageDelta& delta : batch->deltas) {
      fabric::v1::UsageRecord& record = *request.add_deltas();
      record.set_business_unit(delta.business_unit);
      record.set_model(delta.model);
      record.set_requests(delta.requests);
      record.set_prompt_tokens(delta.prompt_tokens);
      record.set_completion_tokens(delta.completion_tokens);
      record.set_errors(delta.errors);
    }
    ASSIGN_OR_RETURN(const int64_t last_sequence, Send(request));
    if (last_sequence < batch->sequence) {
      return absl::UnavailableError(absl::StrCat("the controller did not take usage batch ",
                                                 batch->sequence, "; its last is ", last_sequence));
    }
    RETURN_IF_ERROR(journal_->Acknowledge(batch->sequence));
  }
}

void UsageReporter::Loop() {
  bool was_failing = false;
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), absl::Seconds(1))) return;
    }
    const absl::Status status = ReportAll();
    if (!status.ok() && !was_failing) Log::Warning("usage waits", {{"error", status}});
    was_failing = !status.ok();
  }
}

}  // namespace oneai::serving
