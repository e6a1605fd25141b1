// oneai-controller: the control plane in one process. This file only wires: settings, store,
// identity, data, registry, fabric, web.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/grpc/server.h"
#include "base/log/log.h"
#include "base/status.h"
#include "base/store/etcd_store.h"
#include "base/store/fenced_store.h"
#include "base/store/sqlite_store.h"
#include "compute_fabric/controller/controller.h"
#include "compute_fabric/controller/price_list.h"
#include "compute_fabric/endpoints/device_choice.h"
#include "controller/auth_service.h"
#include "controller/fabric_metrics.h"
#include "controller/free_address.h"
#include "controller/leadership.h"
#include "controller/web/web_server.h"
#include "controller/wiring.h"
#include "model_platform/registry/registry_service.h"
#include "nlohmann/json.hpp"

namespace oneai {
namespace {

struct Flags {
  std::string name = "controller";
  std::string state_dir;
  std::string shared_dir;         // empty: state_dir
  std::vector<std::string> etcd;  // host:port; empty: SQLite in state_dir, and no other controller
  std::string etcd_prefix = "oneai";
  TlsFiles etcd_tls;  // empty: plain text, which only the loopback may carry
  double leader_lease_seconds = 2;
  std::string listen = "127.0.0.1:7400";
  std::string web = "127.0.0.1:7480";
  TlsFiles tls;
  std::string ca_dir;
  std::string first_admin_token;
  std::string log_file;
  double lease_seconds = 5;
  double node_fence_seconds = 30;
  std::string prices;
  std::vector<std::string> latency_classes;
  int job_retention_days = 30;
  double sandbox_share = fabric::ControllerOptions().sandbox_share;
};

volatile std::sig_atomic_t g_stop = 0;
constexpr int kExitLeadershipLost = 75;  // sysexits EX_TEMPFAIL: start me again

// Unavailable with the way out, for whatever the operating system says.
absl::Status MakeFolder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat("cannot make ", path.string(), ": ", error.message()));
  return absl::OkStatus();
}

absl::StatusOr<std::pair<std::string, int>> SplitAddress(const std::string& address) {
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  int port = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--web ", address, " is not host:port"));
  }
  return std::pair(parts[0], port);
}

// The first start makes one admin token, readable by its owner only.
absl::Status MakeFirstAdmin(TokenStore& tokens, const std::string& file) {
  if (file.empty()) return absl::OkStatus();
  return tokens.CreateFirstAdmin([&file](const std::string& secret) {
    return WriteFileAtomically(file, secret + "\n", 0600);
  });
}

// Tells whoever started this process where it listens.
absl::Status PublishEndpoints(const std::filesystem::path& state_dir, const std::string& grpc,
                              const std::string& web) {
  const nlohmann::ordered_json json = {{"grpc", grpc}, {"web", web}};
  return WriteFileAtomically(state_dir / "endpoints.json", json.dump() + "\n");
}

// A standby has no address: nobody can reach it until it leads.
absl::Status PublishStandby(const std::filesystem::path& state_dir) {
  const nlohmann::ordered_json json = {{"standby", true}};
  return WriteFileAtomically(state_dir / "endpoints.json", json.dump() + "\n");
}

platform::AuditSink AuditRegistry(gov::AuditLog* audit) {
  return [audit](const platform::RegistryAudit& entry) {
    const absl::Status written = audit->Append(
        {entry.principal, entry.action, entry.resource, "", entry.allowed, entry.detail});
    if (!written.ok())
      Log::Error("the audit log cannot be written", {{"action", entry.action}, {"error", written}});
  };
}

// Artifacts belong to the business unit of their job's project.
platform::ArtifactGuard GuardArtifacts(const Store* store) {
  return [store](const Identity& caller, const std::string& job_id) -> absl::Status {
    ASSIGN_OR_RETURN(const KeyValue item, store->Get(absl::StrCat("jobs/", job_id)));
    fabric::v1::Job job;
    if (!job.ParseFromString(item.value))
      return absl::DataLossError(absl::StrCat("job ", job_id, " does not parse"));
    const std::string& project = job.spec().project();
    return CheckPermission(caller, Permission::kRegisterModel,
                           project.substr(0, project.find('/')));
  };
}

// Where artifacts, models, data and logs are. Whoever leads must find them: with several
// controllers the folder is on storage that all of them see.
std::filesystem::path SharedDir(const Flags& flags) {
  return flags.shared_dir.empty() ? flags.state_dir : flags.shared_dir;
}

// Serves from `store` until it is told to stop. `leadership`: null when there is no other
// controller.
absl::Status Serve(const Flags& flags, const TlsCredentials& tls, const CertificateAuthority& ca,
                   Store* store, const Leadership* leadership) {
  const std::filesystem::path shared = SharedDir(flags);
  for (const char* sub : {"", "artifacts", "registry", "data", "logs"})
    RETURN_IF_ERROR(MakeFolder(shared / sub));
  const Clock* const clock = Clock::Real();

  TokenStore tokens(store, clock);
  RETURN_IF_ERROR(MakeFirstAdmin(tokens, flags.first_admin_token));
  ASSIGN_OR_RETURN(const std::unique_ptr<gov::AuditLog> audit, gov::AuditLog::Open(store, clock));
  ASSIGN_OR_RETURN(const std::unique_ptr<gov::Catalog> catalog,
                   gov::Catalog::Open(store, clock, shared / "data"));
  gov::DataGovernance governance(store, clock, catalog.get(), audit.get());
  RETURN_IF_ERROR(governance.InstallDefaultRules());
  ASSIGN_OR_RETURN(
      const std::unique_ptr<platform::ModelRegistry> registry,
      platform::ModelRegistry::Open(store, clock, shared / "artifacts", shared / "registry"));

  fabric::ControllerOptions options;
  options.log_dir = shared / "logs";
  options.artifact_dir = std::filesystem::absolute(shared / "artifacts");
  options.registry_dir = std::filesystem::absolute(shared / "registry");
  options.lease = absl::Seconds(flags.lease_seconds);
  options.node_fence = absl::Seconds(flags.node_fence_seconds);
  options.job_retention = absl::Hours(24 * flags.job_retention_days);
  options.sandbox_share = flags.sandbox_share;
  if (!flags.prices.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.prices, 1 << 20));
    ASSIGN_OR_RETURN(options.policy.price_per_hour, fabric::ParsePrices(text, flags.prices));
  }
  ASSIGN_OR_RETURN(options.latency_class_of_kind,
                   fabric::ParseLatencyClasses(flags.latency_classes));
  fabric::ControllerHooks hooks = MakeHooks(&governance, registry.get(), audit.get(), ca);
  hooks.replica_adapters = fabric::NewReplicaAdapters(tls);
  ASSIGN_OR_RETURN(const std::unique_ptr<fabric::Controller> controller,
                   fabric::Controller::Create(store, clock, options, std::move(hooks)));
  const Authenticator authenticator(
      &tokens, [&controller](const std::string& id) { return controller->JobIdentity(id); },
      leadership == nullptr ? ServingCheck() : [leadership] { return leadership->MayServe(); });

  LoginCodes codes(clock);
  gov::DataServiceImpl data_service(&governance, &authenticator);
  AuthServiceImpl auth_service(&tokens, &codes, audit.get(), &authenticator);
  platform::RegistryServiceImpl registry_service(registry.get(), &authenticator,
                                                 AuditRegistry(audit.get()), GuardArtifacts(store));
  std::vector<grpc::Service*> services = controller->services(&authenticator);
  services.insert(services.end(), {&data_service, &registry_service, &auth_service});
  GrpcServerOptions grpc_options;
  grpc_options.address = flags.listen;
  grpc_options.tls = tls;
  ASSIGN_OR_RETURN(const std::unique_ptr<GrpcServer> server,
                   GrpcServer::Start(grpc_options, services));
  controller->Start();
  const std::string address =
      absl::StrCat(flags.listen.substr(0, flags.listen.rfind(':')), ":", server->port());

  CertificateRequest browser{"user", "dashboard", {"localhost"}};
  ASSIGN_OR_RETURN(KeyPair browser_pair, ca.Issue(browser));
  WebOptions web_options;
  ASSIGN_OR_RETURN(std::tie(web_options.host, web_options.port), SplitAddress(flags.web));
  web_options.tls = tls;
  web_options.controller_address = address;
  web_options.before_scrape = [&controller, clock] {
    UpdateFabricMetrics(*controller, clock->Now());
  };
  web_options.client_tls = {ca.certificate_pem(), browser_pair.certificate_pem,
                            browser_pair.private_key_pem};
  ASSIGN_OR_RETURN(const std::unique_ptr<WebServer> web,
                   WebServer::Start(web_options, &tokens, &codes));

  RETURN_IF_ERROR(PublishEndpoints(flags.state_dir, address,
                                   absl::StrCat("https://", web_options.host, ":", web->port())));
  Log::Info("controller serves", {{"grpc", address}, {"web_port", web->port()}});
  while (g_stop == 0) absl::SleepFor(absl::Milliseconds(50));
  Log::Info("controller stops");
  web->Stop();
  controller->Stop();
  server->Stop(absl::Seconds(5));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Store>> OpenEtcd(const Flags& flags) {
  EtcdOptions options;
  options.endpoints = flags.etcd;
  options.prefix = flags.etcd_prefix;
  if (!flags.etcd_tls.ca.empty()) {
    ASSIGN_OR_RETURN(options.tls, LoadTlsCredentials(flags.etcd_tls));
    return EtcdStore::Open(options);
  }
  for (const std::string& endpoint : flags.etcd) {
    if (absl::StartsWith(endpoint, "127.0.0.1:") || absl::StartsWith(endpoint, "localhost:"))
      continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--etcd ", endpoint,
                     " is not on this machine: give --etcd-ca, --etcd-cert "
                     "and --etcd-key, for the fabric's whole state goes over this connection"));
  }
  return EtcdStore::Open(options);
}

// For a leader that must not go on, whatever its threads are at: a successor may lead already, and
// a fresh process knows nothing that is out of date.
void EndAtOnce(const char* why) {
  Log::Error(why);
  _exit(kExitLeadershipLost);
}

// One of several controllers: waits for its turn, then serves until it is told to stop.
absl::Status RunReplicated(const Flags& flags, const TlsCredentials& tls,
                           const CertificateAuthority& ca) {
  for (const std::string& address : {flags.listen, flags.web})
    RETURN_IF_ERROR(CheckAddressFree(address));
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, OpenEtcd(flags));
  LeadershipOptions options;
  options.self = {flags.name, flags.listen, absl::StrCat("https://", flags.web)};
  options.lease = absl::Seconds(flags.leader_lease_seconds);
  RETURN_IF_ERROR(PublishStandby(flags.state_dir));
  absl::StatusOr<std::unique_ptr<Leadership>> leadership = Leadership::Campaign(
      store.get(), options, [] { return g_stop != 0; },
      [](const Leader& leader) {
        Log::Info("standing by", {{"leader", leader.name}, {"grpc", leader.grpc}});
      });
  if (absl::IsCancelled(leadership.status())) return absl::OkStatus();
  RETURN_IF_ERROR(leadership.status());
  Log::Info("leads", {{"name", flags.name}, {"fence", (*leadership)->fence_revision()}});
  (*leadership)->Keep([] { EndAtOnce("the lease was not renewed in time; leads no more"); });
  const std::unique_ptr<Store> fenced =
      NewFencedStore(store.get(), kLeaderKey, (*leadership)->fence_revision(),
                     [] { EndAtOnce("whether a commit has happened is not known"); });
  return Serve(flags, tls, ca, fenced.get(), leadership->get());
}

absl::Status Run(const Flags& flags) {
  RETURN_IF_ERROR(MakeFolder(flags.state_dir));
  ASSIGN_OR_RETURN(const TlsCredentials tls, LoadTlsCredentials(flags.tls));
  ASSIGN_OR_RETURN(const CertificateAuthority ca, CertificateAuthority::Load(flags.ca_dir));
  if (!flags.etcd.empty()) return RunReplicated(flags, tls, ca);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Store> store,
      SqliteStore::Open((std::filesystem::path(flags.state_dir) / "store.db").string()));
  return Serve(flags, tls, ca, store.get(), nullptr);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"oneai-controller - the control plane of a oneai fabric"};
  app.add_option("--state-dir", flags.state_dir, "folder for everything durable")->required();
  app.add_option("--listen", flags.listen, "gRPC address, mutual TLS");
  app.add_option("--web", flags.web, "dashboard address, HTTPS");
  app.add_option("--tls-ca", flags.tls.ca, "the fabric's CA certificate")->required();
  app.add_option("--tls-cert", flags.tls.certificate, "this controller's certificate")->required();
  app.add_option("--tls-key", flags.tls.private_key, "its key")->required();
  app.add_option("--ca-dir", flags.ca_dir, "folder with ca.crt and ca.key: tasks get certificates")
      ->required();
  app.add_option("--first-admin-token", flags.first_admin_token,
                 "where the first start writes an admin's token");
  app.add_option("--name", flags.name, "of this controller among several");
  app.add_option("--shared-dir", flags.shared_dir,
                 "folder for artifacts, models, data and logs; with several controllers on storage "
                 "that all of them see (default: the state folder)");
  app.add_option("--etcd", flags.etcd,
                 "host:port of every etcd member: state is there, and several controllers share it")
      ->delimiter(',');
  app.add_option("--etcd-prefix", flags.etcd_prefix, "this fabric's part of etcd's keys");
  CLI::Option* etcd_ca = app.add_option("--etcd-ca", flags.etcd_tls.ca, "CA of etcd's members");
  CLI::Option* etcd_cert =
      app.add_option("--etcd-cert", flags.etcd_tls.certificate, "certificate for etcd");
  CLI::Option* etcd_key = app.add_option("--etcd-key", flags.etcd_tls.private_key, "its key");
  etcd_ca->needs(etcd_cert)->needs(etcd_key);
  etcd_cert->needs(etcd_ca);
  etcd_key->needs(etcd_ca);
  app.add_option("--leader-lease-seconds", flags.leader_lease_seconds,
                 "a silent leader is replaced after so long")
      ->check(CLI::Range(1.0, 60.0));
  app.add_option("--log-file", flags.log_file, "log also to this file");
  app.add_option("--lease-seconds", flags.lease_seconds, "a node silent for so long is lost")
      ->check(CLI::Range(0.5, 3600.0));
  app.add_option("--node-fence-seconds", flags.node_fence_seconds,
                 "a lost node's tasks have stopped by themselves after so long")
      ->check(CLI::Range(0.5, 3600.0));
  app.add_option("--prices", flags.prices,
                 "what resources cost by the hour (YAML, prices: {cpu: 0.04, …})");
  app.add_option("--latency-class", flags.latency_classes,
                 "KIND=interactive|standard|batch: what was measured of a kind of device");
  app.add_option("--job-retention-days", flags.job_retention_days,
                 "finished jobs are deleted after so many days")
      ->check(CLI::Range(1, 36'500));
  app.add_option("--sandbox-share", flags.sandbox_share,
                 "of the fabric's capacity, kept for each unit's experiments; 0: none")
      ->check(CLI::Range(0.0, 0.1));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::signal(SIGTERM, [](int) { g_stop = 1; });
  std::signal(SIGINT, [](int) { g_stop = 1; });
  std::signal(SIGPIPE, SIG_IGN);
  absl::Status status = Log::Start({"controller", flags.log_file});
  if (status.ok()) status = Run(flags);
  if (status.ok()) return 0;
  std::cerr << "oneai-controller: " << status.message() << std::endl;
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? 2 : 1;
}

}  // namespace
}  // namespace oneai

int main(int argc, char** argv) { return oneai::Main(argc, argv); }
