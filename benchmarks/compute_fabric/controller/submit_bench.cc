// How many jobs a controller takes in a second, each durable (SQLite, synchronous=FULL, group
// commit) before it is acknowledged, from so many clients at once; and what 100,000 jobs weigh on
// disk and in memory.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/auth/pki.h"
#include "base/auth/token_store.h"
#include "base/clock.h"
#include "base/grpc/authenticator.h"
#include "base/grpc/channel.h"
#include "base/grpc/server.h"
#include "base/store/sqlite_store.h"
#include "compute_fabric/controller/controller.h"
#include "compute_fabric/controller/job_requests.h"
#include "oneai/fabric/v1/job.grpc.pb.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kMeasured = absl::Seconds(3);

std::filesystem::path FreshDir() {
  static std::atomic<int> count = 0;
  const auto dir = std::filesystem::temp_directory_path() /
                   absl::StrCat("oneai-submit-bench-", getpid(), "-", count++);
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

ControllerOptions OptionsIn(const std::filesystem::path& dir) {
  ControllerOptions options;
  options.log_dir = dir / "logs";
  options.artifact_dir = dir / "artifacts";
  options.registry_dir = dir / "registry";
  return options;
}

v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_name("train");
  spec.set_project("retail/nlp");
  spec.set_kind("command");
  for (const char* argument : {"python3", "train.py", "--config", "config.json", "--seed", "42"})
    spec.add_command(argument);
  spec.set_num_tasks(4);
  spec.set_gang(true);
  spec.mutable_resources()->set_cpu_milli(8000);
  spec.mutable_resources()->set_memory_bytes(int64_t{64} << 30);
  v1::DeviceRequest& device = *spec.mutable_resources()->add_devices();
  device.set_kind("nvidia-h100-80g");
  device.set_count(1);
  (*spec.mutable_env())["NCCL_DEBUG"] = "WARN";
  spec.mutable_restart()->set_max_restarts(3);
  return spec;
}

Identity Engineer() {
  Identity identity;
  identity.principal.set_kind(common::v1::Principal::USER);
  identity.principal.set_name("alice");
  identity.principal.set_business_unit("retail");
  auth::v1::RoleBinding binding;
  binding.set_role(auth::v1::ENGINEER);
  binding.set_business_unit("retail");
  identity.bindings.push_back(binding);
  return identity;
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0;
  int64_t resident = 0;
  statm >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Runs `submit(client)` in so many threads for a while; returns calls a second, -1 when one failed.
double Rate(int num_clients, const std::function<bool(int client)>& submit) {
  std::atomic<int64_t> done = 0;
  std::atomic<bool> failed = false;
  const absl::Time begin = absl::Now();
  std::vector<std::thread> clients;
  for (int client = 0; client < num_clients; ++client) {
    clients.emplace_back([&, client] {
      while (absl::Now() < begin + kMeasured && !failed) {
        if (!submit(client)) failed = true;
        ++done;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  return failed ? -1 : static_cast<double>(done) / absl::ToDoubleSeconds(absl::Now() - begin);
}

std::string NextRequest() {
  static std::atomic<int64_t> next = 0;
  return absl::StrCat("request-", ++next);
}

// Through JobRequests: checks, index, group commit.
void BM_SubmitInProcess(benchmark::State& state) {
  const std::filesystem::path dir = FreshDir();
  auto store = SqliteStore::Open((dir / "store.db").string());
  if (!store.ok()) return state.SkipWithError(store.status().ToString().c_str());
  const ControllerHooks hooks;
  const ControllerOptions options = OptionsIn(dir);
  FabricState fabric(store->get(), Clock::Real());
  if (!fabric.Load().ok()) return state.SkipWithError("load");
  LiveSchedule schedule(&fabric, &options);
  JobRequests jobs(&fabric, &schedule, &hooks, &options);
  for (auto _ : state) {
    const double rate = Rate(static_cast<int>(state.range(0)), [&](int) {
      v1::SubmitJobRequest request;
      request.set_request_id(NextRequest());
      *request.mutable_spec() = Spec();
      return jobs.Submit(request, Engineer()).ok();
    });
    state.counters["submits_per_second"] = rate;
  }
  std::filesystem::remove_all(dir);
}
BENCHMARK(BM_SubmitInProcess)->Arg(1)->Arg(16)->Arg(128)->Iterations(1)->UseRealTime();

TlsCredentials Credentials(const CertificateAuthority& authority, std::string kind,
                           std::string name) {
  const auto pair = authority.Issue({std::move(kind), std::move(name), {"localhost"}});
  return {authority.certificate_pem(), pair->certificate_pem, pair->private_key_pem};
}

// The same through mutual TLS and gRPC, the controller's loop running.
void BM_SubmitThroughGrpc(benchmark::State& state) {
  const std::filesystem::path dir = FreshDir();
  auto store = SqliteStore::Open((dir / "store.db").string());
  if (!store.ok()) return state.SkipWithError(store.status().ToString().c_str());
  TokenStore tokens(store->get(), Clock::Real());
  std::string token;
  const absl::Status made = tokens.CreateFirstAdmin([&](const std::string& secret) {
    token = secret;
    return absl::OkStatus();
  });
  const auto authority = CertificateAuthority::Create();
  const ControllerOptions options = OptionsIn(dir);
  auto controller = Controller::Create(store->get(), Clock::Real(), options, {});
  if (!made.ok() || !authority.ok() || !controller.ok()) return state.SkipWithError("set-up");
  const Authenticator authenticator(
      &tokens, [&](const std::string& id) { return (*controller)->JobIdentity(id); });
  auto server = GrpcServer::Start({.tls = Credentials(*authority, "controller", "controller")},
                                  (*controller)->services(&authenticator));
  if (!server.ok()) return state.SkipWithError(server.status().ToString().c_str());
  (*controller)->Start();
  const auto channel = NewChannel(absl::StrCat("localhost:", (*server)->port()),
                                  Credentials(*authority, "user", "bench"));
  const auto stub = v1::JobService::NewStub(channel);
  for (auto _ : state) {
    state.counters["submits_per_second"] = Rate(static_cast<int>(state.range(0)), [&](int) {
      v1::SubmitJobRequest request;
      request.set_request_id(NextRequest());
      *request.mutable_spec() = Spec();
      grpc::ClientContext context;
      PrepareContext(context, absl::Seconds(20), token);
      v1::SubmitJobResponse response;
      return stub->SubmitJob(&context, request, &response).ok();
    });
  }
  (*controller)->Stop();
  (*server)->Stop(absl::Seconds(2));
  std::filesystem::remove_all(dir);
}
BENCHMARK(BM_SubmitThroughGrpc)->Arg(16)->Arg(64)->Arg(256)->Iterations(1)->UseRealTime();

// 100,000 jobs, submitted as ten arrays: seconds to write them, bytes on disk and in memory.
void BM_WeightOf100000Jobs(benchmark::State& state) {
  const std::filesystem::path dir = FreshDir();
  auto store = SqliteStore::Open((dir / "store.db").string());
  if (!store.ok()) return state.SkipWithError(store.status().ToString().c_str());
  const ControllerHooks hooks;
  const ControllerOptions options = OptionsIn(dir);
  FabricState fabric(store->get(), Clock::Real());
  if (!fabric.Load().ok()) return state.SkipWithError("load");
  LiveSchedule schedule(&fabric, &options);
  JobRequests jobs(&fabric, &schedule, &hooks, &options);
  for (auto _ : state) {
    const int64_t resident = ResidentBytes();
    for (int i = 0; i < 10; ++i) {
      v1::SubmitJobRequest request;
      request.set_request_id(NextRequest());
      *request.mutable_spec() = Spec();
      request.mutable_spec()->mutable_array()->set_indices("0-9999");
      if (const auto done = jobs.Submit(request, Engineer()); !done.ok())
        return state.SkipWithError(done.status().ToString().c_str());
    }
    schedule.PassIsDue(absl::Now());  // all of them become known to the scheduler
    int64_t disk = 0;
    for (const auto& file : std::filesystem::directory_iterator(dir)) {
      if (file.is_regular_file()) disk += static_cast<int64_t>(file.file_size());
    }
    state.counters["resident_MiB"] = static_cast<double>(ResidentBytes() - resident) / (1 << 20);
    state.counters["disk_MiB"] = static_cast<double>(disk) / (1 << 20);
  }
  std::filesystem::remove_all(dir);
}
BENCHMARK(BM_WeightOf100000Jobs)->Iterations(1)->UseRealTime()->Unit(benchmark::kSecond);

}  // namespace
}  // namespace oneai::fabric

BENCHMARK_MAIN();
