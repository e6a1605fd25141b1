// File: serving/gateway/main.cc
//
// oneai-gateway: reads the flags, wires the parts, serves until SIGTERM.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "base/http/router.h"
#include "base/http/server.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "base/status.h"
#include "serving/gateway/controller_client.h"
#include "serving/gateway/grpc_front.h"
#include "serving/gateway/http_front.h"

namespace oneai::serving {
namespace {

std::atomic<bool> g_stop = false;

struct GatewayFlags {
  std::string controller;
  std::string listen = "127.0.0.1:0";
  std::string http = "127.0.0.1:0";
  TlsFiles tls;
  std::string state_dir;
  std::string log_file;
  LimitSettings limits;
  int64_t key_lifetime_ms = 3'000;
  int64_t key_grace_ms = 300'000;
  int64_t drain_ms = 10'000;
};

void AddFlags(CLI::App& app, GatewayFlags& flags) {
  app.add_option("--controller", flags.controller, "host:port of the controller")->required();
  app.add_option("--listen", flags.listen, "host:port for gRPC (port 0: any free one)");
  app.add_option("--http", flags.http, "host:port for OpenAI HTTP over TLS (port 0: any free one)");
  app.add_option("--tls-ca", flags.tls.ca, "the fabric's CA certificate")->required();
  app.add_option("--tls-cert", flags.tls.certificate, "certificate spiffe://oneai/gateway/<name>")
      ->required();
  app.add_option("--tls-key", flags.tls.private_key, "its private key")->required();
  app.add_option("--state-dir", flags.state_dir, "folder for usage not yet reported")->required();
  app.add_option("--log-file", flags.log_file, "log here too");
  app.add_option("--streams-max", flags.limits.streams_max, "requests at a time; 429 beyond")
      ->check(CLI::Range(1, 900));
  app.add_option("--tenant-streams-max", flags.limits.tenant_streams_max,
                 "requests at a time of one business unit")
      ->check(CLI::PositiveNumber);
  app.add_option("--tenant-tokens-per-minute", flags.limits.tenant_tokens_per_minute,
                 "tokens of one business unit; 0: without limit")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--key-lifetime-ms", flags.key_lifetime_ms, "a revoked key dies within it")
      ->check(CLI::Range(0, 60'000));
  app.add_option("--key-grace-ms", flags.key_grace_ms,
                 "known keys work for so long while the controller is away")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--drain-ms", flags.drain_ms, "on SIGTERM running streams may end for so long")
      ->check(CLI::NonNegativeNumber);
}

absl::StatusOr<std::pair<std::string, int>> SplitAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65'535) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not host:port"));
  }
  return std::make_pair(address.substr(0, colon), port);
}

absl::Status Serve(const GatewayFlags& flags, const TlsCredentials& tls,
                   RequestPipeline& pipeline) {
  ASSIGN_OR_RETURN(const auto grpc_address, SplitAddress(flags.listen));
  ASSIGN_OR_RETURN(const auto http_address, SplitAddress(flags.http));
  DisconnectWatch disconnects;
  disconnects.Start();
  HttpFront http_front(&pipeline, &disconnects, Clock::Real());
  HttpRouter router;
  http_front.AddRoutes(router);
  GrpcFront grpc_front(&pipeline);

  GrpcServerOptions grpc_options;
  grpc_options.address = flags.listen;
  grpc_options.tls = tls;
  grpc_options.reflection = true;
  ASSIGN_OR_RETURN(const std::unique_ptr<GrpcServer> grpc,
                   GrpcServer::Start(grpc_options, {&grpc_front}));
  HttpServerOptions http_options;
  http_options.host = http_address.first;
  http_options.port = http_address.second;
  http_options.tls = tls;
  http_options.refusal = &HttpFront::Refuse;
  // More than streams, so that a full gateway still answers 429, /health and /metrics.
  http_options.num_workers = static_cast<int>(flags.limits.streams_max) + 32;
  http_options.connections_max = http_options.num_workers * 4;
  ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> http,
                   HttpServer::Start(http_options, [&router](const HttpRequest& request,
                                                             HttpResponder& responder) {
                     router.Serve(request, responder);
                   }));
  const std::string endpoints =
      absl::StrCat("{\"grpc\":\"", grpc_address.first, ":", grpc->port(), "\",\"http\":\"https://",
                   http_address.first, ":", http->port(), "\"}\n");
  RETURN_IF_ERROR(
      WriteFileAtomically(std::filesystem::path(flags.state_dir) / "endpoints.json", endpoints));
  Log::Info("gateway started", {{"grpc_port", grpc->port()}, {"http_port", http->port()}});
  while (!g_stop) absl::SleepFor(absl::Milliseconds(100));
  Log::Info("gateway draining");
  grpc->SetServing("", false);
  http->Stop(absl::Milliseconds(flags.drain_ms));
  grpc->Stop(absl::Milliseconds(flags.drain_ms));
  return absl::OkStatus();
}

absl::Status RunGateway(const GatewayFlags& flags) {
  ASSIGN_OR_RETURN(const TlsCredentials tls, LoadTlsCredentials(flags.tls));
  ASSIGN_OR_RETURN(const std::unique_ptr<UsageJournal> usage, UsageJournal::Open(flags.state_dir));
  const std::shared_ptr<grpc::Channel> controller = NewChannel(flags.controller, tls);
  EndpointDirectory directory(NewReplicaConnector(tls));
  EndpointWatch watch(controller, &directory);
  watch.Start();
  IdentityCacheSettings keys;
  keys.lifetime = absl::Milliseconds(flags.key_lifetime_ms);
  keys.grace = absl::Milliseconds(flags.key_grace_ms);
  IdentityCache identities(keys, NewIdentityResolver(controller), Clock::Real());
  TenantLimits limits(flags.limits);
  GenerationRelay relay(&directory, Clock::Real());
  GatewayMetrics metrics(MetricsRegistry());
  LoadMeter load(Clock::Real());
  UsageReporter reporter(controller, usage.get(), &load);
  reporter.Start();
  RequestPipeline pipeline(
      {&identities, &limits, &directory, &relay, usage.get(), &metrics, &load, Clock::Real()});
  const absl::Status status = Serve(flags, tls, pipeline);
  reporter.Stop();
  watch.Stop();
  return status;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) {
  using oneai::Log;
  oneai::serving::GatewayFlags flags;
  CLI::App app("oneai-gateway: the door for business units");
  oneai::serving::AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  signal(SIGPIPE, SIG_IGN);
  for (int signal_number : {SIGTERM, SIGINT}) {
    signal(signal_number, [](int) { oneai::serving::g_stop = true; });
  }
  absl::Status status = Log::Start({.component = "gateway", .file = flags.log_file});
  if (status.ok()) status = oneai::serving::RunGateway(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "oneai-gateway: %s\n", status.ToString().c_str());
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? 2 : 1;
}
