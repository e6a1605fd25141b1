// File: serving/gateway/http_front.h
//
// The OpenAI-compatible door: GET /v1/models, GET /v1/models/{id}, POST /v1/completions, POST
// /v1/chat/completions, POST /v1/embeddings, /v1/rerank and /v1/classify, /health, /metrics.
#pragma once

#include "absl/time/time.h"
#include "base/http/router.h"
#include "serving/gateway/disconnect_watch.h"
#include "serving/gateway/openai_request.h"
#include "serving/gateway/openai_response.h"
#include "serving/gateway/request_pipeline.h"

namespace oneai::serving {

// Thread-safe. All pointers must outlive it.
class HttpFront {
 public:
  HttpFront(const RequestPipeline* pipeline, DisconnectWatch* disconnects, const Clock* clock)
      : pipeline_(pipeline), disconnects_(disconnects), clock_(clock) {}

  // Adds the routes, and what is said where none fits. Every answer carries X-Request-Id: the
  // client's own if it is sound, else a new one.
  void AddRoutes(HttpRouter& router);

  // What the server and the router refuse themselves, in OpenAI's form, under a new X-Request-Id.
  static HttpResponse Refuse(int status, absl::string_view why);

 private:
  using Parser = absl::StatusOr<OpenAiRequest> (*)(absl::string_view body);
  void ServeGeneration(OpenAiApi api, Parser parse, const HttpRequest& request,
                       HttpResponder& responder) const;
  void ServeStream(const Identity& caller, const AnswerHead& head, GenerationRequest request,
                   HttpResponder& responder) const;
  void ServeWhole(const Identity& caller, const AnswerHead& head, GenerationRequest request,
                  HttpResponder& responder) const;
  template <typename Call, typename Request, typename Response>
  void ServeAsked(absl::StatusOr<Call> (*parse)(absl::string_view), Request& (*request_of)(Call&),
                  absl::StatusOr<Response> (RequestPipeline::*ask)(const Identity&, Request,
                                                                   ClientCall&) const,
                  std::string (*write)(const Call&, const Response&), const HttpRequest& request,
                  HttpResponder& responder) const;
  HttpResponse ServeModels(const HttpRequest& request) const;
  HttpResponse ServeModel(const HttpRequest& request, const std::string& id) const;
  HttpResponse ServeMetrics(const HttpRequest& request) const;

  const RequestPipeline* const pipeline_;
  DisconnectWatch* const disconnects_;
  const Clock* const clock_;
};

}  // namespace oneai::serving
