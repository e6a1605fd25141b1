#include "serving/replica/replica_service.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/authenticator.h"
#include "base/grpc/status.h"
#include "base/ids.h"
#include "base/status.h"
#include "serving/replica/answer_reactors.h"

namespace oneai::serving {
namespace {

constexpr int64_t kCompletionMaxTokens = 16;  // as OpenAI's completions
// A full queue has places again as soon as a request ends.
constexpr absl::Duration kQueueRetryDelay = absl::Seconds(1);

absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                  : absl::FromChrono(deadline);
}

bool MayAsk(const PeerName& peer) {
  return peer.kind == "gateway" || peer.kind == "controller" || peer.kind == "component" ||
         (peer.kind == "user" && peer.name == "admin");
}

}  // namespace

ReplicaService::ReplicaService(ReplicaModel model, const PromptBuilder* prompts, Engine* engine)
    : model_(std::move(model)),
      prompts_(prompts),
      engine_(engine),
      started_unix_(absl::ToUnixSeconds(absl::Now())) {}

// Tenant limits are the gateway's business, so nobody may come past it.
absl::Status ReplicaService::CheckCall(const grpc::CallbackServerContext& context,
                                       const std::string& model) const {
  ASSIGN_OR_RETURN(const PeerName peer, PeerNameOf(context));
  if (!MayAsk(peer)) {
    return absl::PermissionDeniedError(absl::StrCat("a certificate of kind ", peer.kind,
                                                    " may not ask a replica; ask the gateway"));
  }
  if (!model.empty() && model != model_.name) {
    return absl::NotFoundError(
        absl::StrCat("no model ", model, " here; this replica serves ", model_.name));
  }
  return absl::OkStatus();
}

template <typename Request>
absl::StatusOr<ReplicaService::Accepted> ReplicaService::Submit(
    const grpc::CallbackServerContext& context, const Request& request, std::vector<int32_t> prompt,
    int64_t default_max_tokens) {
  // Below 2^53, so that it survives JSON on its way.
  const uint64_t drawn = absl::Uniform<uint64_t>(absl::BitGen(), 0, uint64_t{1} << 53);
  GenerationRequest generation;
  ASSIGN_OR_RETURN(generation.sampling, ToSamplingSettings(request.sampling(), model_.generation,
                                                           default_max_tokens, drawn));
  generation.tenant = request.tenant();
  generation.priority = request.priority();
  generation.prompt = std::move(prompt);
  generation.deadline = DeadlineOf(context);
  Accepted accepted;
  accepted.request_id = request.request_id().empty() ? NewId("req-") : request.request_id();
  accepted.seed = static_cast<int64_t>(generation.sampling.seed);
  absl::StatusOr<std::shared_ptr<GenerationStream>> stream = engine_->Submit(std::move(generation));
  if (!stream.ok()) {
    absl::Status status = stream.status();
    if (absl::IsResourceExhausted(status)) SetRetryDelay(status, kQueueRetryDelay);
    return status;
  }
  accepted.stream = *std::move(stream);
  return accepted;
}

absl::StatusOr<ReplicaService::Accepted> ReplicaService::Accept(
    const grpc::CallbackServerContext& context, const v1::CompletionRequest& request) {
  RETURN_IF_ERROR(CheckCall(context, request.model()));
  std::vector<int32_t> prompt;
  if (request.has_token_ids()) {
    prompt.assign(request.token_ids().ids().begin(), request.token_ids().ids().end());
  } else {
    prompt = prompts_->FromText(request.text());
  }
  std::string echo = request.echo() ? prompts_->ToText(prompt) : "";
  ASSIGN_OR_RETURN(Accepted accepted,
                   Submit(context, request, std::move(prompt), kCompletionMaxTokens));
  accepted.echo = std::move(echo);
  return accepted;
}

absl::StatusOr<ReplicaService::Accepted> ReplicaService::Accept(
    const grpc::CallbackServerContext& context, const v1::ChatRequest& request) {
  RETURN_IF_ERROR(CheckCall(context, request.model()));
  std::vector<ChatTurn> turns;
  for (const v1::ChatMessage& message : request.messages())
    turns.push_back({message.role(), message.content()});
  ASSIGN_OR_RETURN(std::vector<int32_t> prompt,
                   prompts_->FromChat(turns, request.template_variables_json()));
  // What the context leaves; at least 1, so that a prompt that fills it is refused for its length.
  const int64_t left = engine_->options().max_context_tokens - static_cast<int64_t>(prompt.size());
  return Submit(context, request, std::move(prompt), std::max<int64_t>(left, 1));
}

grpc::ServerUnaryReactor* ReplicaService::Complete(grpc::CallbackServerContext* context,
                                                   const v1::CompletionRequest* request,
                                                   v1::GenerationResponse* response) {
  return NewWholeReactor(Accept(*context, *request), response);
}

grpc::ServerWriteReactor<v1::GenerationChunk>* ReplicaService::CompleteStream(
    grpc::CallbackServerContext* context, const v1::CompletionRequest* request) {
  return NewStreamReactor(Accept(*context, *request));
}

grpc::ServerUnaryReactor* ReplicaService::Chat(grpc::CallbackServerContext* context,
                                               const v1::ChatRequest* request,
                                               v1::GenerationResponse* response) {
  return NewWholeReactor(Accept(*context, *request), response);
}

grpc::ServerWriteReactor<v1::GenerationChunk>* ReplicaService::ChatStream(
    grpc::CallbackServerContext* context, const v1::ChatRequest* request) {
  return NewStreamReactor(Accept(*context, *request));
}

grpc::ServerUnaryReactor* ReplicaService::ListModels(grpc::CallbackServerContext* context,
                                                     const v1::ListModelsRequest*,
                                                     v1::ListModelsResponse* response) {
  const absl::Status status = CheckCall(*context, "");
  if (status.ok()) {
    v1::ModelCard* card = response->add_models();
    card->set_id(model_.name);
    card->set_version(model_.version);
    card->set_max_context_tokens(static_cast<int32_t>(engine_->options().max_context_tokens));
    card->set_created_unix(started_unix_);
  }
  return NewFinishedReactor(status);
}

}  // namespace oneai::serving
