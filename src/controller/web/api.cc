#include "controller/web/api.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/grpc/channel.h"
#include "base/grpc/status.h"
#include "nlohmann/json.hpp"
#include "oneai/auth/v1/auth.grpc.pb.h"
#include "oneai/data/v1/data.grpc.pb.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/fabric/v1/job.grpc.pb.h"
#include "oneai/fabric/v1/node.grpc.pb.h"
#include "oneai/fabric/v1/queue.grpc.pb.h"
#include "oneai/registry/v1/registry.grpc.pb.h"

namespace oneai {
namespace {

using auth::v1::AuthService;
using data::v1::DataService;
using fabric::v1::EndpointService;
using fabric::v1::JobService;
using fabric::v1::NodeService;
using fabric::v1::QueueService;
using registry::v1::RegistryService;

constexpr absl::Duration kCallTimeout = absl::Seconds(20);
constexpr absl::Duration kStreamInterval = absl::Milliseconds(500);
constexpr int64_t kLogPageBytes = 256 << 10;

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}";
  return json;
}

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

HttpResponse ErrorResponse(const absl::Status& status) {
  const nlohmann::json json = {{"error",
                                {{"code", absl::StatusCodeToString(status.code())},
                                 {"message", std::string(status.message())}}}};
  return HttpResponse::Json(HttpStatusOf(status.code()),
                            json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// What a route needs besides the request: where to call, as whom.
struct Api {
  std::shared_ptr<grpc::Channel> controller;
  std::string (*token_of)(const HttpRequest& request);
  const std::atomic<bool>* stopping;
};

template <typename Service, typename Request, typename Response>
using Method = grpc::Status (Service::Stub::*)(grpc::ClientContext*, const Request&, Response*);

template <typename Service, typename Request, typename Response>
absl::StatusOr<Response> Call(const Api& api, const std::string& token,
                              Method<Service, Request, Response> method, const Request& request) {
  const auto stub = Service::NewStub(api.controller);
  grpc::ClientContext context;
  PrepareContext(context, kCallTimeout, token);
  Response response;
  const grpc::Status status = ((*stub).*method)(&context, request, &response);
  if (!status.ok()) return FromGrpcStatus(status);
  return response;
}

// A route that is one call; `fill` takes the request's parts into the message.
template <typename Service, typename Request, typename Response>
RouteHandler Route(const Api& api, Method<Service, Request, Response> method,
                   std::function<absl::Status(const HttpRequest&, const PathParameters&, Request&)>
                       fill = nullptr) {
  return [api, method, fill = std::move(fill)](const HttpRequest& http, const PathParameters& path,
                                               HttpResponder& responder) {
    Request request;
    if (fill) {
      if (absl::Status filled = fill(http, path, request); !filled.ok())
        return responder.Send(ErrorResponse(filled));
    }
    const absl::StatusOr<Response> response =
        Call<Service>(api, api.token_of(http), method, request);
    responder.Send(response.ok() ? HttpResponse::Json(200, ToJson(*response))
                                 : ErrorResponse(response.status()));
  };
}

// `reason` of a JSON body; an empty body has none.
absl::StatusOr<std::string> ReasonOf(const HttpRequest& http) {
  if (http.body.empty()) return std::string();
  const nlohmann::json body = nlohmann::json::parse(http.body, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object() || (body.contains("reason") && !body["reason"].is_string())) {
    return absl::InvalidArgumentError(
        "the body must be a JSON object such as {\"reason\": \"...\"}");
  }
  return body.value("reason", "");
}

absl::Status IntegerQuery(const HttpRequest& http, absl::string_view name, int64_t& value) {
  const std::optional<std::string> text = http.Query(name);
  if (text && !absl::SimpleAtoi(*text, &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("query parameter ", name, "=", *text, " is not a number"));
  }
  return absl::OkStatus();
}

void AddJobRoutes(HttpRouter& router, const Api& api) {
  router.Handle(
      "GET", "/api/v1/jobs",
      Route<JobService, fabric::v1::ListJobsRequest, fabric::v1::ListJobsResponse>(
          api, &JobService::Stub::ListJobs, [](const auto& http, const auto&, auto& request) {
            int64_t limit = 0;
            const absl::Status parsed = IntegerQuery(http, "limit", limit);
            request.set_limit(static_cast<int32_t>(std::clamp<int64_t>(limit, 0, 10'000)));
            request.set_array_id(http.Query("array_id").value_or(""));
            return parsed;
          }));
  router.Handle(
      "GET", "/api/v1/jobs/{id}/why",
      Route<JobService, fabric::v1::GetJobRequest, fabric::v1::Explanation>(
          api, &JobService::Stub::ExplainJob, [](const auto&, const auto& path, auto& request) {
            request.set_id(path.at("id"));
            return absl::OkStatus();
          }));
  router.Handle(
      "GET", "/api/v1/jobs/{id}",
      Route<JobService, fabric::v1::GetJobRequest, fabric::v1::Job>(
          api, &JobService::Stub::GetJob, [](const auto&, const auto& path, auto& request) {
            request.set_id(path.at("id"));
            return absl::OkStatus();
          }));
  router.Handle(
      "GET", "/api/v1/jobs/{id}/metrics",
      Route<JobService, fabric::v1::GetMetricsRequest, fabric::v1::MetricSeriesList>(
          api, &JobService::Stub::GetMetrics, [](const auto&, const auto& path, auto& request) {
            request.set_job_id(path.at("id"));
            return absl::OkStatus();
          }));
  router.Handle(
      "GET", "/api/v1/jobs/{id}/events",
      Route<JobService, fabric::v1::ListEventsRequest, fabric::v1::ListEventsResponse>(
          api, &JobService::Stub::ListEvents, [](const auto&, const auto& path, auto& request) {
            request.set_subject(path.at("id"));
            return absl::OkStatus();
          }));
  router.Handle("GET", "/api/v1/events",
                Route<JobService, fabric::v1::ListEventsRequest, fabric::v1::ListEventsResponse>(
                    api, &JobService::Stub::ListEvents));
  router.Handle(
      "POST", "/api/v1/jobs/{id}/cancel",
      Route<JobService, fabric::v1::CancelJobRequest, fabric::v1::Job>(
          api, &JobService::Stub::CancelJob, [](const auto& http, const auto& path, auto& request) {
            const absl::StatusOr<std::string> reason = ReasonOf(http);
            if (!reason.ok()) return reason.status();
            request.set_id(path.at("id"));
            request.set_reason(*reason);
            return absl::OkStatus();
          }));
  router.Handle(
      "POST", "/api/v1/jobs/{id}/retry",
      Route<JobService, fabric::v1::RetryJobRequest, fabric::v1::Job>(
          api, &JobService::Stub::RetryJob, [](const auto&, const auto& path, auto& request) {
            request.set_id(path.at("id"));
            return absl::OkStatus();
          }));
}

// One page of a task's output: {"offset":…, "next_offset":…, "attempt":…, "text":…}; bytes that are
// no UTF-8 become U+FFFD.
void ReadLogPage(const Api& api, const HttpRequest& http, const PathParameters& path,
                 HttpResponder& responder) {
  int64_t rank = 0;
  int64_t attempt = 0;
  int64_t offset = 0;
  for (auto [name, value] : {std::pair<const char*, int64_t*>{"rank", &rank},
                             {"attempt", &attempt},
                             {"offset", &offset}}) {
    if (absl::Status parsed = IntegerQuery(http, name, *value); !parsed.ok())
      return responder.Send(ErrorResponse(parsed));
  }
  fabric::v1::ReadLogRequest request;
  request.set_job_id(path.at("id"));
  request.set_rank(static_cast<int32_t>(rank));
  request.set_attempt(static_cast<int32_t>(attempt));
  request.set_offset(offset);
  const auto stub = JobService::NewStub(api.controller);
  grpc::ClientContext context;
  PrepareContext(context, kCallTimeout, api.token_of(http));
  const auto reader = stub->ReadLog(&context, request);
  fabric::v1::LogChunk chunk;
  std::string text;
  int64_t first_offset = -1;
  while (static_cast<int64_t>(text.size()) < kLogPageBytes && reader->Read(&chunk)) {
    if (first_offset < 0) first_offset = chunk.offset();
    text += chunk.data();
    attempt = chunk.attempt();
  }
  if (static_cast<int64_t>(text.size()) >= kLogPageBytes) context.TryCancel();
  const absl::Status status = FromGrpcStatus(reader->Finish());
  if (!status.ok() && text.empty()) return responder.Send(ErrorResponse(status));
  if (first_offset < 0) first_offset = std::max<int64_t>(0, offset);
  const nlohmann::json json = {{"offset", first_offset},
                               {"next_offset", first_offset + static_cast<int64_t>(text.size())},
                               {"attempt", attempt},
                               {"text", text}};
  responder.Send(
      HttpResponse::Json(200, json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
}

void AddNodeRoutes(HttpRouter& router, const Api& api) {
  router.Handle("GET", "/api/v1/nodes",
                Route<NodeService, fabric::v1::ListNodesRequest, fabric::v1::ListNodesResponse>(
                    api, &NodeService::Stub::ListNodes));
  router.Handle(
      "GET", "/api/v1/nodes/{name}",
      Route<NodeService, fabric::v1::GetNodeRequest, fabric::v1::Node>(
          api, &NodeService::Stub::GetNode, [](const auto&, const auto& path, auto& request) {
            request.set_name(path.at("name"));
            return absl::OkStatus();
          }));
  for (const bool schedulable : {false, true}) {
    router.Handle("POST",
                  schedulable ? "/api/v1/nodes/{name}/uncordon" : "/api/v1/nodes/{name}/cordon",
                  Route<NodeService, fabric::v1::SetNodeSchedulableRequest, fabric::v1::Node>(
                      api, &NodeService::Stub::SetNodeSchedulable,
                      [schedulable](const auto& http, const auto& path, auto& request) {
                        const absl::StatusOr<std::string> reason = ReasonOf(http);
                        if (!reason.ok()) return reason.status();
                        request.set_name(path.at("name"));
                        request.set_schedulable(schedulable);
                        request.set_reason(*reason);
                        return absl::OkStatus();
                      }));
  }
  router.Handle("POST", "/api/v1/nodes/{name}/drain",
                Route<NodeService, fabric::v1::DrainNodeRequest, fabric::v1::Node>(
                    api, &NodeService::Stub::DrainNode,
                    [](const auto& http, const auto& path, auto& request) {
                      const absl::StatusOr<std::string> reason = ReasonOf(http);
                      if (!reason.ok()) return reason.status();
                      request.set_name(path.at("name"));
                      request.set_reason(*reason);
                      return absl::OkStatus();
                    }));
  router.Handle(
      "GET", "/api/v1/reservations",
      Route<NodeService, fabric::v1::ListReservationsRequest, fabric::v1::ListReservationsResponse>(
          api, &NodeService::Stub::ListReservations));
}

void AddQueueRoutes(HttpRouter& router, const Api& api) {
  router.Handle("GET", "/api/v1/queues",
                Route<QueueService, fabric::v1::ListQueuesRequest, fabric::v1::ListQueuesResponse>(
                    api, &QueueService::Stub::ListQueues));
  router.Handle(
      "GET", "/api/v1/usage/fabric",
      Route<QueueService, fabric::v1::GetFabricUsageRequest, fabric::v1::GetFabricUsageResponse>(
          api, &QueueService::Stub::GetFabricUsage,
          [](const auto& http, const auto&, auto& request) {
            request.set_business_unit(http.Query("unit").value_or(""));
            return absl::OkStatus();
          }));
}

void AddEndpointRoutes(HttpRouter& router, const Api& api) {
  router.Handle(
      "GET", "/api/v1/endpoints",
      Route<EndpointService, fabric::v1::ListEndpointsRequest, fabric::v1::ListEndpointsResponse>(
          api, &EndpointService::Stub::ListEndpoints));
  router.Handle("GET", "/api/v1/usage",
                Route<EndpointService, fabric::v1::GetUsageRequest, fabric::v1::GetUsageResponse>(
                    api, &EndpointService::Stub::GetUsage));
}

void AddGovernanceRoutes(HttpRouter& router, const Api& api) {
  router.Handle("GET", "/api/v1/me",
                Route<AuthService, auth::v1::WhoAmIRequest, auth::v1::WhoAmIResponse>(
                    api, &AuthService::Stub::WhoAmI));
  router.Handle(
      "GET", "/api/v1/models",
      Route<RegistryService, registry::v1::ListModelsRequest, registry::v1::ListModelsResponse>(
          api, &RegistryService::Stub::ListModels));
  router.Handle("GET", "/api/v1/datasets",
                Route<DataService, data::v1::ListDatasetsRequest, data::v1::ListDatasetsResponse>(
                    api, &DataService::Stub::ListDatasets));
  router.Handle("GET", "/api/v1/rules",
                Route<DataService, data::v1::ListRulesRequest, data::v1::ListRulesResponse>(
                    api, &DataService::Stub::ListRules));
  router.Handle(
      "GET", "/api/v1/audit",
      Route<DataService, data::v1::QueryAuditRequest, data::v1::QueryAuditResponse>(
          api, &DataService::Stub::QueryAudit, [](const auto& http, const auto&, auto& request) {
            int64_t before = 0;
            const absl::Status parsed = IntegerQuery(http, "before", before);
            request.set_before_sequence(before);
            request.set_action(http.Query("action").value_or(""));
            request.set_resource(http.Query("resource").value_or(""));
            return parsed;
          }));
  router.Handle("GET", "/api/v1/audit/verify",
                Route<DataService, data::v1::VerifyAuditRequest, data::v1::VerifyAuditResponse>(
                    api, &DataService::Stub::VerifyAudit));
}

// Sends `event` with the list when it differs from what this stream sent last. False: the client
// has gone.
template <typename Service, typename Request, typename Response>
bool SendIfChanged(const Api& api, const std::string& token,
                   Method<Service, Request, Response> method, absl::string_view event,
                   std::string& last, HttpResponder& responder) {
  const absl::StatusOr<Response> response = Call<Service>(api, token, method, Request());
  if (!response.ok()) {
    if (!absl::IsUnauthenticated(response.status())) return true;
    responder.Write("event: logout\ndata: {}\n\n");
    return false;
  }
  std::string json = ToJson(*response);
  if (json == last) return true;
  last = std::move(json);
  return responder.Write(absl::StrCat("event: ", event, "\ndata: ", last, "\n\n"));
}

// One stream per browser (the page shares it among tabs). Polling the services inside the process
// costs less than a watch for each topic would, and every answer is authorised again: a revoked
// session ends within one interval.
void Stream(const Api& api, const HttpRequest& http, HttpResponder& responder) {
  const std::string token = api.token_of(http);
  const auto me =
      Call<AuthService>(api, token, &AuthService::Stub::WhoAmI, auth::v1::WhoAmIRequest());
  if (!me.ok()) return responder.Send(ErrorResponse(me.status()));
  HttpResponse head;
  head.headers = {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}};
  responder.BeginStream(head);
  std::string jobs;
  std::string nodes;
  std::string endpoints;
  absl::Time last_beat = absl::Now();
  while (!responder.Cancelled() && !*api.stopping) {
    const bool open =
        SendIfChanged<JobService, fabric::v1::ListJobsRequest, fabric::v1::ListJobsResponse>(
            api, token, &JobService::Stub::ListJobs, "jobs", jobs, responder) &&
        SendIfChanged<NodeService, fabric::v1::ListNodesRequest, fabric::v1::ListNodesResponse>(
            api, token, &NodeService::Stub::ListNodes, "nodes", nodes, responder) &&
        SendIfChanged<EndpointService, fabric::v1::ListEndpointsRequest,
                      fabric::v1::ListEndpointsResponse>(
            api, token, &EndpointService::Stub::ListEndpoints, "endpoints", endpoints, responder);
    if (!open) break;
    if (absl::Now() - last_beat > absl::Seconds(10)) {
      if (!responder.Write(": beat\n\n")) break;
      last_beat = absl::Now();
    }
    absl::SleepFor(kStreamInterval);
  }
  responder.End();
}

}  // namespace

void AddApiRoutes(HttpRouter& router, std::shared_ptr<grpc::Channel> controller,
                  std::string (*token_of)(const HttpRequest& request),
                  const std::atomic<bool>* stopping) {
  const Api api{std::move(controller), token_of, stopping};
  AddJobRoutes(router, api);
  AddNodeRoutes(router, api);
  AddQueueRoutes(router, api);
  AddEndpointRoutes(router, api);
  AddGovernanceRoutes(router, api);
  router.Handle("GET", "/api/v1/jobs/{id}/logs",
                [api](const HttpRequest& http, const PathParameters& path,
                      HttpResponder& responder) { ReadLogPage(api, http, path, responder); });
  router.Handle("GET", "/api/v1/stream",
                [api](const HttpRequest& http, const PathParameters&, HttpResponder& responder) {
                  Stream(api, http, responder);
                });
}

}  // namespace oneai
