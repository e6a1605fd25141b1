// A controller and replicas as a gateway sees them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "oneai/auth/v1/auth.grpc.pb.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/inference/v1/inference.grpc.pb.h"

namespace oneai::serving {

// Knows key "retail-key" (role inference in unit retail) until it is revoked.
class FakeAuthService final : public auth::v1::AuthService::Service {
 public:
  grpc::Status Authenticate(grpc::ServerContext*, const auth::v1::AuthenticateRequest* request,
                            auth::v1::WhoAmIResponse* response) override {
    absl::MutexLock lock(&mu_);
    if (is_revoked_ || request->secret() != "retail-key") {
      return {grpc::StatusCode::UNAUTHENTICATED, "the API key is not valid"};
    }
    response->mutable_principal()->set_kind(common::v1::Principal::SERVICE);
    response->mutable_principal()->set_name("shop");
    response->mutable_principal()->set_business_unit("retail");
    auth::v1::RoleBinding& binding = *response->add_bindings();
    binding.set_role(auth::v1::INFERENCE);
    binding.set_business_unit("retail");
    return grpc::Status::OK;
  }
  void Revoke() {
    absl::MutexLock lock(&mu_);
    is_revoked_ = true;
  }

 private:
  absl::Mutex mu_;
  bool is_revoked_ ABSL_GUARDED_BY(mu_) = false;
};

class FakeEndpointService final : public fabric::v1::EndpointService::Service {
 public:
  grpc::Status WatchEndpoints(
      grpc::ServerContext* context, const fabric::v1::WatchEndpointsRequest*,
      grpc::ServerWriter<fabric::v1::ListEndpointsResponse>* writer) override {
    int64_t sent = -1;
    while (!context->IsCancelled()) {
      fabric::v1::ListEndpointsResponse response;
      bool is_new = false;
      {
        absl::MutexLock lock(&mu_);
        is_new = sent != revision_;
        sent = revision_;
        response = endpoints_;
      }
      if (is_new && !writer->Write(response)) break;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return grpc::Status::OK;
  }
  grpc::Status ReportUsage(grpc::ServerContext*, const fabric::v1::ReportUsageRequest* request,
                           fabric::v1::ReportUsageResponse* response) override {
    absl::MutexLock lock(&mu_);
    loads_.assign(request->loads().begin(), request->loads().end());
    int64_t& last = last_sequence_[request->gateway()];
    if (request->sequence() > last) {
      last = request->sequence();
      for (const fabric::v1::UsageRecord& delta : request->deltas()) {
        fabric::v1::UsageRecord& sum = usage_[delta.business_unit() + "/" + delta.model()];
        sum.set_requests(sum.requests() + delta.requests());
        sum.set_prompt_tokens(sum.prompt_tokens() + delta.prompt_tokens());
        sum.set_completion_tokens(sum.completion_tokens() + delta.completion_tokens());
        sum.set_errors(sum.errors() + delta.errors());
      }
    }
    response->set_last_sequence(last);
    return grpc::Status::OK;
  }
  void AddEndpoint(const std::string& name, const std::string& project,
                   const std::vector<std::string>& addresses) {
    absl::MutexLock lock(&mu_);
    fabric::v1::Endpoint& endpoint = *endpoints_.add_endpoints();
    endpoint.mutable_spec()->set_name(name);
    endpoint.mutable_spec()->set_project(project);
    endpoint.set_resolved_model(project + "@1");
    for (const std::string& address : addresses) {
      fabric::v1::Replica& replica = *endpoint.add_replicas();
      replica.set_address(address);
      replica.set_ready(true);
    }
    ++revision_;
  }
  // As the last report says; an endpoint that it does not name has no load.
  fabric::v1::EndpointLoad Load(const std::string& endpoint) {
    absl::MutexLock lock(&mu_);
    for (const fabric::v1::EndpointLoad& load : loads_) {
      if (load.endpoint() == endpoint) return load;
    }
    return {};
  }
  fabric::v1::UsageRecord Usage(const std::string& unit_and_model) {
    absl::MutexLock lock(&mu_);
    return usage_[unit_and_model];
  }

 private:
  absl::Mutex mu_;
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  fabric::v1::ListEndpointsResponse endpoints_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> last_sequence_ ABSL_GUARDED_BY(mu_);
  std::vector<fabric::v1::EndpointLoad> loads_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, fabric::v1::UsageRecord> usage_ ABSL_GUARDED_BY(mu_);
};

// Answers "one two three" in three chunks. The prompt chooses another behaviour: "break" loses the
// replica after the first chunk, "refuse" says UNAVAILABLE at once, "hang" sends one chunk and
// waits to be cancelled, "silent" waits without one.
class FakeReplica final : public inference::v1::InferenceService::Service {
 public:
  grpc::Status CompleteStream(grpc::ServerContext* context,
                              const inference::v1::CompletionRequest* request,
                              grpc::ServerWriter<inference::v1::GenerationChunk>* writer) override {
    return Answer(context, request->text(), request->tenant(), writer);
  }
  grpc::Status ChatStream(grpc::ServerContext* context, const inference::v1::ChatRequest* request,
                          grpc::ServerWriter<inference::v1::GenerationChunk>* writer) override {
    return Answer(context, request->messages(request->messages_size() - 1).content(),
                  request->tenant(), writer);
  }
  // [length of each text, 0], which is what it was asked about.
  grpc::Status Embed(grpc::ServerContext*, const inference::v1::EmbedRequest* request,
                     inference::v1::EmbedResponse* response) override {
    absl::MutexLock lock(&mu_);
    ++num_calls_;
    tenant_ = request->tenant();
    if (behaviour_ == "refuse") return {grpc::StatusCode::UNAVAILABLE, "draining"};
    for (const inference::v1::TextInput& input : request->inputs()) {
      inference::v1::Embedding& embedding = *response->add_embeddings();
      embedding.add_values(static_cast<float>(input.text().size()));
      embedding.add_values(0);
    }
    response->mutable_usage()->set_prompt_tokens(7);
    return grpc::Status::OK;
  }
  int num_calls() const {
    absl::MutexLock lock(&mu_);
    return num_calls_;
  }
  int num_cancelled() const {
    absl::MutexLock lock(&mu_);
    return num_cancelled_;
  }
  std::string tenant() const {
    absl::MutexLock lock(&mu_);
    return tenant_;
  }
  // Every call is answered so from now on, whatever its prompt; empty: by prompt.
  void Behave(std::string how) {
    absl::MutexLock lock(&mu_);
    behaviour_ = std::move(how);
  }

 private:
  grpc::Status Answer(grpc::ServerContext* context, std::string how, const std::string& tenant,
                      grpc::ServerWriter<inference::v1::GenerationChunk>* writer) {
    {
      absl::MutexLock lock(&mu_);
      ++num_calls_;
      tenant_ = tenant;
      if (!behaviour_.empty()) how = behaviour_;
    }
    if (how == "refuse") return {grpc::StatusCode::UNAVAILABLE, "draining"};
    if (how == "long")
      return {grpc::StatusCode::INVALID_ARGUMENT, "prompt of 99 tokens exceeds the context of 9"};
    const std::vector<std::string> words = {"one", " two", " three"};
    for (size_t i = 0; i < words.size() && how != "silent"; ++i) {
      inference::v1::GenerationChunk chunk;
      chunk.set_text(words[i]);
      chunk.add_token_ids(static_cast<int>(i));
      if (i + 1 == words.size()) {
        chunk.set_finish_reason(inference::v1::STOP);
        chunk.mutable_usage()->set_prompt_tokens(5);
        chunk.mutable_usage()->set_completion_tokens(3);
      }
      writer->Write(chunk);
      if (how == "break") return {grpc::StatusCode::UNAVAILABLE, "lost"};
      if (how == "hang") break;
    }
    if (how != "hang" && how != "silent") return grpc::Status::OK;
    while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
    absl::MutexLock lock(&mu_);
    ++num_cancelled_;
    return {grpc::StatusCode::CANCELLED, ""};
  }

  mutable absl::Mutex mu_;
  int num_calls_ ABSL_GUARDED_BY(mu_) = 0;
  int num_cancelled_ ABSL_GUARDED_BY(mu_) = 0;
  std::string tenant_ ABSL_GUARDED_BY(mu_);
  std::string behaviour_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::serving
