// File: serving/replica/main.cc
//
// oneai-serve: one model replica. Reads its settings, loads the model, serves until SIGTERM,
// drains.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/files/files.h"
#include "base/grpc/server.h"
#include "base/http/server.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "base/status.h"
#include "serving/replica/adapter_service.h"
#include "serving/replica/loaded_model.h"
#include "serving/replica/replica_service.h"
#include "serving/replica/replica_settings.h"
#include "serving/replica/serving_metrics.h"

namespace oneai::serving {
namespace {

constexpr absl::Duration kDrainGrace =
    absl::Seconds(25);  // below the 30 s after which a node kills

absl::StatusOr<std::unique_ptr<HttpServer>> ServeMetrics(const ReplicaEnvironment& env,
                                                         ServingMetrics& metrics,
                                                         const Engine& engine) {
  HttpServerOptions options;
  options.host = env.metrics_host;
  options.port = *env.metrics_port;
  options.use_tls = false;  // numbers only, for the node's own scraper
  options.num_workers = 2;
  return HttpServer::Start(options, [&](const HttpRequest& request, HttpResponder& responder) {
    if (request.method != "GET" || request.path != "/metrics") {
      responder.Send(HttpResponse::Text(404, "only GET /metrics is here\n"));
      return;
    }
    metrics.SetGauges(engine.stats());
    responder.Send(MetricsResponse());
  });
}

absl::StatusOr<ReplicaSettings> ReadSettings(const std::string& path,
                                             const ReplicaEnvironment& env) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1 << 20));
  ASSIGN_OR_RETURN(ReplicaSettings settings, ParseReplicaSettings(text, path));
  if (settings.weight_cache_dir.empty() && !env.cache_dir.empty())
    settings.weight_cache_dir = env.cache_dir + "/weights";
  return settings;
}

// Returns when a termination signal has been taken. All threads block them, so only this one sees
// them.
void AwaitTermination(const sigset_t& signals) {
  int signal_number = 0;
  while (sigwait(&signals, &signal_number) != 0) {
  }
  Log::Info("draining", {{"signal", signal_number}});
}

absl::Status Serve(const ReplicaSettings& settings, const ReplicaEnvironment& env,
                   const sigset_t& signals) {
  const absl::Time start = absl::Now();
  const std::filesystem::path tls = env.task_dir / "tls";
  ASSIGN_OR_RETURN(const TlsCredentials credentials,
                   LoadTlsCredentials({tls / "ca.crt", tls / "task.crt", tls / "task.key"}));
  ASSIGN_OR_RETURN(LoadedModel model, LoadModel(settings));
  ServingMetrics metrics(MetricsRegistry(), settings.model_name);
  ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine,
                   Engine::Create(model.engine_options, std::move(model.runner), model.tokens,
                                  &metrics, Clock::Real(), std::move(model.draft)));
  for (const auto& [name, folder] : settings.adapters) {
    RETURN_IF_ERROR(LoadNamedAdapter(*engine, model.model.adapters, name, folder));
  }
  AdapterService adapters(model.model.adapters, engine.get());
  const RequestBuilder builder(std::move(model.model), model.prompts.get(), model.grammars.get());
  ReplicaService service(&builder, engine.get());
  std::unique_ptr<HttpServer> metrics_server;
  if (env.metrics_port.has_value()) {
    ASSIGN_OR_RETURN(metrics_server, ServeMetrics(env, metrics, *engine));
  }
  GrpcServerOptions options;
  options.address = env.listen;
  options.tls = credentials;
  ASSIGN_OR_RETURN(std::unique_ptr<GrpcServer> server,
                   GrpcServer::Start(options, {&service, &adapters}));
  server->SetServing("oneai.inference.v1.InferenceService", true);
  Log::Info("serving", {{"model", settings.model_name},
                        {"port", server->port()},
                        {"context_tokens", model.engine_options.max_context_tokens},
                        {"kv_blocks", engine->stats().num_blocks},
                        {"load_seconds", absl::ToDoubleSeconds(absl::Now() - start)}});
  if (!env.ready_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(env.ready_file, absl::StrCat(server->port(), "\n")));
  }
  AwaitTermination(signals);
  engine->Drain();
  server->Stop(kDrainGrace);
  engine->Stop();
  if (metrics_server != nullptr) metrics_server->Stop(absl::Seconds(1));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app("oneai-serve: answers for one model over gRPC (mutual TLS)");
  std::string config;
  app.add_option("--config", config, "settings (default: $ONEAI_TASK_DIR/config.json)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  absl::Status status = Log::Start({.component = "serve"});
  if (status.ok()) {
    const absl::StatusOr<ReplicaEnvironment> env =
        ReadReplicaEnvironment([](const char* name) -> const char* { return std::getenv(name); });
    status = env.status();
    if (status.ok()) {
      const absl::StatusOr<ReplicaSettings> settings =
          ReadSettings(config.empty() ? (env->task_dir / "config.json").string() : config, *env);
      status = settings.ok() ? Serve(*settings, *env, signals) : settings.status();
    }
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "oneai-serve: %s\n", status.ToString().c_str());
  return 2;
}

}  // namespace
}  // namespace oneai::serving

int main(int argc, char** argv) { return oneai::serving::Main(argc, argv); }
