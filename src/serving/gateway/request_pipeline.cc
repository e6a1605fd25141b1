// File: serving/gateway/request_pipeline.cc
#include "serving/gateway/request_pipeline.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/status.h"
#include "base/ids.h"
#include "base/log/log.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// The unit that is charged: a person or service without one is charged under its own name, written
// as a unit's name can be.
std::string TenantOf(const Identity& caller) {
  const auto& principal = caller.principal;
  if (!principal.business_unit().empty()) return principal.business_unit();
  std::string name = principal.name().empty() ? "unknown" : principal.name().substr(0, 63);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '_' && c != '-') c = '-';
  }
  if (!absl::ascii_isalnum(name[0])) name[0] = 'x';
  return name;
}

std::string FinishWord(inference::v1::FinishReason reason) {
  switch (reason) {
    case inference::v1::STOP:
    case inference::v1::TOOL_CALLS:
      return "stop";
    case inference::v1::LENGTH:
      return "length";
    default:
      return "abort";
  }
}

}  // namespace

absl::Duration RetryAfterOf(const absl::Status& status) {
  return RetryDelayOf(status).value_or(absl::Seconds(1));
}

// Follows one generation and books it when it ends, however it ends.
class RequestPipeline::Account {
 public:
  Account(const PipelineParts& parts, const Identity& caller, const std::string& model,
          const char* api)
      : parts_(parts), tenant_(TenantOf(caller)), started_(parts.clock->Now()) {
    // Adapters are counted with their model: callers make up their names.
    record_.model = EndpointOf(model);
    record_.api = api;
    parts_.metrics->Begin(record_.model);
    parts_.load->Begin(record_.model);
  }

  void OnChunk(const inference::v1::GenerationChunk& chunk) {
    if (record_.first_token == absl::InfiniteDuration() && chunk.token_ids_size() > 0) {
      record_.first_token = parts_.clock->Now() - started_;
      parts_.load->FirstToken(record_.model);
    }
    // A stream that breaks off has no usage; the tokens seen are what is known.
    record_.completion_tokens += chunk.token_ids_size();
    if (chunk.has_usage()) {
      record_.prompt_tokens = chunk.usage().prompt_tokens();
      record_.completion_tokens = chunk.usage().completion_tokens();
    }
    if (chunk.finish_reason() != inference::v1::FINISH_REASON_UNSPECIFIED) {
      record_.finish_reason = FinishWord(chunk.finish_reason());
    }
  }

  void OnAnswer(const inference::v1::Usage& usage) {
    record_.first_token = parts_.clock->Now() - started_;
    record_.prompt_tokens = usage.prompt_tokens();
    record_.finish_reason = "stop";
  }

  void Close(const absl::Status& status) {
    record_.code = status.code();
    record_.total = parts_.clock->Now() - started_;
    if (!status.ok()) record_.finish_reason.clear();
    parts_.metrics->End(record_);
    parts_.load->End(record_.model, record_.first_token != absl::InfiniteDuration());
    parts_.limits->Spend(tenant_, record_.prompt_tokens + record_.completion_tokens,
                         parts_.clock->Now());
    const bool is_error = !status.ok() && !absl::IsCancelled(status);
    const absl::Status booked =
        parts_.usage->Record({tenant_, record_.model, 1, record_.prompt_tokens,
                              record_.completion_tokens, is_error ? 1 : 0});
    if (!booked.ok()) Log::Error("usage not recorded", {{"error", booked}});
  }

 private:
  const PipelineParts& parts_;
  const std::string tenant_;
  const absl::Time started_;
  GenerationRecord record_;
};

absl::Status RequestPipeline::Refuse(absl::Status status) const {
  parts_.metrics->Refuse(status.code());
  return status;
}

absl::StatusOr<Identity> RequestPipeline::Authenticate(absl::string_view authorization) const {
  absl::StatusOr<Identity> identity = parts_.identities->Find(BearerToken(authorization));
  if (!identity.ok()) return Refuse(identity.status());
  return identity;
}

absl::StatusOr<std::vector<EndpointView>> RequestPipeline::ListModels(
    const Identity& caller) const {
  ASSIGN_OR_RETURN(std::vector<EndpointView> models, parts_.directory->List());
  std::erase_if(models, [&caller](const EndpointView& model) {
    return !CheckPermission(caller, Permission::kInfer, model.business_unit).ok();
  });
  return models;
}

absl::StatusOr<EndpointView> RequestPipeline::FindModel(const Identity& caller,
                                                        const std::string& model) const {
  if (model.empty()) return absl::InvalidArgumentError("you must name a model");
  ASSIGN_OR_RETURN(EndpointView view, parts_.directory->Find(EndpointOf(model)));
  RETURN_IF_ERROR(CheckPermission(caller, Permission::kInfer, view.business_unit));
  return view;
}

absl::StatusOr<std::unique_ptr<TenantLimits::Ticket>> RequestPipeline::Admit(
    const Identity& caller, const std::string& name) const {
  const absl::StatusOr<EndpointView> model = FindModel(caller, name);
  if (!model.ok()) return Refuse(model.status());
  absl::Duration retry_after;
  auto ticket = parts_.limits->Enter(TenantOf(caller), parts_.clock->Now(), retry_after);
  if (!ticket.ok()) {
    absl::Status status = ticket.status();
    SetRetryDelay(status, retry_after);
    return Refuse(status);
  }
  return ticket;
}

namespace {

void Name(const Identity& caller, GenerationRequest& request) {
  std::visit(
      [&caller](auto& r) {
        if (r.request_id().empty()) r.set_request_id(NewId("req-"));
        r.set_tenant(TenantOf(caller));
      },
      request);
}

const char* ApiOf(const GenerationRequest& request) {
  return std::holds_alternative<inference::v1::ChatRequest>(request) ? "chat" : "completion";
}

}  // namespace

absl::Status RequestPipeline::Stream(const Identity& caller, GenerationRequest request,
                                     ClientCall& call, const ChunkConsumer& consume) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<TenantLimits::Ticket> ticket,
                   Admit(caller, ModelOf(request)));
  Name(caller, request);
  Account account(parts_, caller, ModelOf(request), ApiOf(request));
  const absl::Status status =
      parts_.relay->Stream(request, call, [&](const inference::v1::GenerationChunk& chunk) {
        account.OnChunk(chunk);
        return consume(chunk);
      });
  account.Close(status);
  return status;
}

absl::StatusOr<inference::v1::GenerationResponse> RequestPipeline::Collect(
    const Identity& caller, GenerationRequest request, ClientCall& call) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<TenantLimits::Ticket> ticket,
                   Admit(caller, ModelOf(request)));
  Name(caller, request);
  Account account(parts_, caller, ModelOf(request), ApiOf(request));
  absl::StatusOr<inference::v1::GenerationResponse> response = parts_.relay->Collect(
      request, call,
      [&account](const inference::v1::GenerationChunk& chunk) { account.OnChunk(chunk); });
  account.Close(response.status());
  return response;
}

template <typename Request, typename Response>
absl::StatusOr<Response> RequestPipeline::Ask(const Identity& caller, const char* api,
                                              Request request, ClientCall& call,
                                              Method<Request, Response> method) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<TenantLimits::Ticket> ticket,
                   Admit(caller, request.model()));
  if (request.request_id().empty()) request.set_request_id(NewId("req-"));
  request.set_tenant(TenantOf(caller));
  Account account(parts_, caller, request.model(), api);
  Response response;
  const absl::Status status = parts_.relay->Ask(
      request.model(), call, [&](InferenceStub& stub, grpc::ClientContext* context) {
        response.Clear();
        return (stub.*method)(context, request, &response);
      });
  if (status.ok()) account.OnAnswer(response.usage());
  account.Close(status);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<inference::v1::EmbedResponse> RequestPipeline::Embed(
    const Identity& caller, inference::v1::EmbedRequest request, ClientCall& call) const {
  return Ask(caller, "embedding", std::move(request), call, &InferenceStub::Embed);
}

absl::StatusOr<inference::v1::RerankResponse> RequestPipeline::Rerank(
    const Identity& caller, inference::v1::RerankRequest request, ClientCall& call) const {
  return Ask(caller, "rerank", std::move(request), call, &InferenceStub::Rerank);
}

absl::StatusOr<inference::v1::ClassifyResponse> RequestPipeline::Classify(
    const Identity& caller, inference::v1::ClassifyRequest request, ClientCall& call) const {
  return Ask(caller, "classify", std::move(request), call, &InferenceStub::Classify);
}

}  // namespace oneai::serving
