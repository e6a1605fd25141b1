// File: serving/gateway/http_front.cc
#include "serving/gateway/http_front.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/channel.h"
#include "base/ids.h"
#include "base/metrics/metrics.h"
#include "serving/gateway/openai_pooled.h"
#include "serving/wire/model_name.h"

namespace oneai::serving {
namespace {

constexpr absl::Duration kGenerationTimeout = absl::Minutes(10);  // OpenAI clients' own default

constexpr char kNoLength[] = "a POST needs a Content-Length, or a body in chunks";

// Anything else could not be told from a forged log line or header.
bool IsSoundRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

std::string RequestIdOf(const HttpRequest& request) {
  const std::string given = request.Header("x-request-id").value_or("");
  return IsSoundRequestId(given) ? given : NewId("req-");
}

// Puts the request's id on whatever is sent.
class TaggedResponder final : public HttpResponder {
 public:
  TaggedResponder(HttpResponder& to, std::string request_id)
      : to_(to), request_id_(std::move(request_id)) {}
  void Send(HttpResponse response) override { to_.Send(Tag(std::move(response))); }
  void BeginStream(HttpResponse head) override { to_.BeginStream(Tag(std::move(head))); }
  bool Write(absl::string_view data) override { return to_.Write(data); }
  void End() override { to_.End(); }
  bool Cancelled() const override { return to_.Cancelled(); }
  const std::string& request_id() const { return request_id_; }

 private:
  HttpResponse Tag(HttpResponse response) const {
    response.headers.push_back({"X-Request-Id", request_id_});
    return response;
  }
  HttpResponder& to_;
  const std::string request_id_;
};

// HTTP reads a POST that gives neither length nor chunks as one without a body.
bool SaysItsLength(const HttpRequest& request) {
  return request.Header("content-length") || request.Header("transfer-encoding");
}

class HttpClientCall final : public ClientCall {
 public:
  HttpClientCall(const HttpResponder* client, DisconnectWatch* disconnects)
      : client_(client), disconnects_(disconnects) {}
  std::unique_ptr<grpc::ClientContext> NewContext() override {
    auto context = std::make_unique<grpc::ClientContext>();
    PrepareContext(*context, kGenerationTimeout);
    disconnects_->Add(client_, context.get());
    return context;
  }
  void Release(grpc::ClientContext* context) override { disconnects_->Remove(context); }
  bool Cancelled() const override { return client_->Cancelled(); }

 private:
  const HttpResponder* const client_;
  DisconnectWatch* const disconnects_;
};

HttpResponse EventStreamHead() {
  HttpResponse head;
  head.headers = {{"Content-Type", "text/event-stream; charset=utf-8"},
                  {"Cache-Control", "no-cache"},
                  {"X-Accel-Buffering", "no"}};
  return head;
}

}  // namespace

HttpResponse HttpFront::Refuse(int status, absl::string_view why) {
  HttpResponse response = RefusalResponse(status, why);
  response.headers.push_back({"X-Request-Id", NewId("req-")});
  return response;
}

void HttpFront::AddRoutes(HttpRouter& router) {
  router.HandleRefusals(&HttpFront::Refuse);
  const auto generation = [this](OpenAiApi api, Parser parse) {
    return [this, api, parse](const HttpRequest& request, const PathParameters&,
                              HttpResponder& responder) {
      ServeGeneration(api, parse, request, responder);
    };
  };
  router.Handle("POST", "/v1/chat/completions", generation(OpenAiApi::kChat, &ParseChatCompletion));
  router.Handle("POST", "/v1/completions", generation(OpenAiApi::kCompletion, &ParseCompletion));
  router.Handle("POST", "/v1/embeddings",
                [this](const HttpRequest& request, const PathParameters&, HttpResponder& to) {
                  ServeAsked(
                      &ParseEmbeddings,
                      +[](EmbeddingsCall & call) -> auto& { return call.request; },
                      &RequestPipeline::Embed, &EmbeddingsJson, request, to);
                });
  router.Handle("POST", "/v1/rerank",
                [this](const HttpRequest& request, const PathParameters&, HttpResponder& to) {
                  ServeAsked(
                      &ParseRerank, +[](RerankCall & call) -> auto& { return call.request; },
                      &RequestPipeline::Rerank, &RerankJson, request, to);
                });
  router.Handle("POST", "/v1/classify",
                [this](const HttpRequest& request, const PathParameters&, HttpResponder& to) {
                  ServeAsked(
                      &ParseClassify,
                      +[](inference::v1::ClassifyRequest & call) -> auto& { return call; },
                      &RequestPipeline::Classify, &ClassifyJson, request, to);
                });
  router.Handle("GET", "/v1/models",
                [this](const HttpRequest& request, const PathParameters&, HttpResponder& to) {
                  TaggedResponder(to, RequestIdOf(request)).Send(ServeModels(request));
                });
  router.Handle(
      "GET", "/v1/models/{id}",
      [this](const HttpRequest& request, const PathParameters& path, HttpResponder& to) {
        TaggedResponder(to, RequestIdOf(request)).Send(ServeModel(request, path.at("id")));
      });
  router.Handle("GET", "/health", [](const HttpRequest&, const PathParameters&, HttpResponder& to) {
    to.Send(HttpResponse::Text(200, "ok\n"));
  });
  router.Handle("GET", "/metrics",
                [this](const HttpRequest& request, const PathParameters&, HttpResponder& to) {
                  to.Send(ServeMetrics(request));
                });
}

void HttpFront::ServeGeneration(OpenAiApi api, Parser parse, const HttpRequest& request,
                                HttpResponder& to) const {
  TaggedResponder responder(to, RequestIdOf(request));
  // The key first: a stranger's body is not even parsed.
  const absl::StatusOr<Identity> caller =
      pipeline_->Authenticate(request.Header("authorization").value_or(""));
  if (!caller.ok()) return responder.Send(ErrorResponse(caller.status()));
  if (!SaysItsLength(request)) return responder.Send(RefusalResponse(411, kNoLength));
  absl::StatusOr<OpenAiRequest> parsed = parse(request.body);
  if (!parsed.ok()) return responder.Send(ErrorResponse(parsed.status()));
  std::visit([&](auto& r) { r.set_request_id(responder.request_id()); }, parsed->generation);
  AnswerHead head{api, responder.request_id(), ModelOf(parsed->generation),
                  absl::ToUnixSeconds(clock_->Now()), parsed->include_usage};
  if (parsed->stream) {
    ServeStream(*caller, head, std::move(parsed->generation), responder);
  } else {
    ServeWhole(*caller, head, std::move(parsed->generation), responder);
  }
}

void HttpFront::ServeStream(const Identity& caller, const AnswerHead& head,
                            GenerationRequest request, HttpResponder& responder) const {
  HttpClientCall call(&responder, disconnects_);
  // The stream begins with the first chunk, so that until then an error is an HTTP status.
  bool has_begun = false;
  StreamFrames writer(head);
  const absl::Status status = pipeline_->Stream(
      caller, std::move(request), call, [&](const inference::v1::GenerationChunk& chunk) {
        if (!has_begun) responder.BeginStream(EventStreamHead());
        has_begun = true;
        const std::string frames = writer.Write(chunk);
        return frames.empty() ? !responder.Cancelled() : responder.Write(frames);
      });
  if (!has_begun) return responder.Send(ErrorResponse(status));
  responder.Write(status.ok() ? kDoneFrame : ErrorFrame(status));
  responder.End();
}

void HttpFront::ServeWhole(const Identity& caller, const AnswerHead& head,
                           GenerationRequest request, HttpResponder& responder) const {
  HttpClientCall call(&responder, disconnects_);
  const absl::StatusOr<inference::v1::GenerationResponse> response =
      pipeline_->Collect(caller, std::move(request), call);
  if (!response.ok()) return responder.Send(ErrorResponse(response.status()));
  responder.Send(HttpResponse::Json(200, WholeAnswerJson(head, *response)));
}

template <typename Call, typename Request, typename Response>
void HttpFront::ServeAsked(
    absl::StatusOr<Call> (*parse)(absl::string_view), Request& (*request_of)(Call&),
    absl::StatusOr<Response> (RequestPipeline::*ask)(const Identity&, Request, ClientCall&) const,
    std::string (*write)(const Call&, const Response&), const HttpRequest& request,
    HttpResponder& to) const {
  TaggedResponder responder(to, RequestIdOf(request));
  const absl::StatusOr<Identity> caller =
      pipeline_->Authenticate(request.Header("authorization").value_or(""));
  if (!caller.ok()) return responder.Send(ErrorResponse(caller.status()));
  if (!SaysItsLength(request)) return responder.Send(RefusalResponse(411, kNoLength));
  absl::StatusOr<Call> parsed = parse(request.body);
  if (!parsed.ok()) return responder.Send(ErrorResponse(parsed.status()));
  request_of(*parsed).set_request_id(responder.request_id());
  HttpClientCall call(&responder, disconnects_);
  const absl::StatusOr<Response> response = (pipeline_->*ask)(*caller, request_of(*parsed), call);
  if (!response.ok()) return responder.Send(ErrorResponse(response.status()));
  responder.Send(HttpResponse::Json(200, write(*parsed, *response)));
}

HttpResponse HttpFront::ServeModels(const HttpRequest& request) const {
  const absl::StatusOr<Identity> caller =
      pipeline_->Authenticate(request.Header("authorization").value_or(""));
  if (!caller.ok()) return ErrorResponse(caller.status());
  const absl::StatusOr<std::vector<EndpointView>> models = pipeline_->ListModels(*caller);
  if (!models.ok()) return ErrorResponse(models.status());
  return HttpResponse::Json(200, ModelListJson(*models));
}

HttpResponse HttpFront::ServeModel(const HttpRequest& request, const std::string& id) const {
  const absl::StatusOr<Identity> caller =
      pipeline_->Authenticate(request.Header("authorization").value_or(""));
  if (!caller.ok()) return ErrorResponse(caller.status());
  const absl::StatusOr<EndpointView> model = pipeline_->FindModel(*caller, id);
  if (!model.ok()) return ErrorResponse(model.status());
  const std::string adapter = SplitModelName(id).adapter;
  if (!adapter.empty() && !absl::c_linear_search(model->adapters, adapter)) {
    return ErrorResponse(
        absl::NotFoundError(absl::StrCat("model ", model->name, " has no adapter ", adapter,
                                         "; GET /v1/models lists those it has")));
  }
  return HttpResponse::Json(200, ModelJson(*model, adapter));
}

// Open to this machine's own scraper; from elsewhere with a key that may view the fabric.
HttpResponse HttpFront::ServeMetrics(const HttpRequest& request) const {
  if (absl::StartsWith(request.remote, "127.")) return MetricsResponse();
  const absl::StatusOr<Identity> caller =
      pipeline_->Authenticate(request.Header("authorization").value_or(""));
  if (!caller.ok()) return ErrorResponse(caller.status());
  const absl::Status allowed = CheckPermission(*caller, Permission::kViewFabric, "");
  return allowed.ok() ? MetricsResponse() : ErrorResponse(allowed);
}

}  // namespace oneai::serving
