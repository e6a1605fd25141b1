// File: compute_fabric/slurm/main.cc
//
// oneai-slurm: brings a Slurm cluster into the fabric as a pool of nodes.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>

#include "absl/time/clock.h"
#include "base/log/log.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "compute_fabric/node/daemon_flags.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/slurm/slurm_agents.h"

namespace oneai::fabric {
namespace {

std::atomic<bool> g_stop = false;

struct SlurmFlags {
  std::string state_dir, controller, ports = "20000-20999", log_file;
  std::string pool = "slurm";
  TlsFiles tls;
  SlurmOptions slurm;
  std::vector<std::string> kinds, labels;
  int64_t fence_ms = 30'000;
};

void AddFlags(CLI::App& app, SlurmFlags& flags) {
  app.add_option("--pool", flags.pool, "nodes are named <pool>.<Slurm's name>");
  app.add_option("--state-dir", flags.state_dir,
                 "folder for tasks, on storage that the compute nodes see at the same path")
      ->required();
  app.add_option("--controller", flags.controller, "host:port of the controller")->required();
  app.add_option("--tls-ca", flags.tls.ca, "the fabric's CA certificate")->required();
  app.add_option("--tls-cert", flags.tls.certificate, "certificate spiffe://oneai/pool/<pool>")
      ->required();
  app.add_option("--tls-key", flags.tls.private_key, "its private key")->required();
  app.add_option("--slurm-conf", flags.slurm.config_file, "SLURM_CONF (default: Slurm's)");
  app.add_option("--partition", flags.slurm.partition,
                 "partition (default: the cluster's default)");
  app.add_option("--account", flags.slurm.account, "account to submit under");
  app.add_option("--kind", flags.kinds,
                 "gres=kind, repeatable: what the fabric calls a GRES type, e.g. "
                 "h100=nvidia-h100-80g");
  app.add_option("--label", flags.labels, "key=value for every node, repeatable");
  app.add_option("--ports", flags.ports, "first-last: TCP ports for tasks on each compute node");
  app.add_option("--fence-ms", flags.fence_ms,
                 "tasks stop when this process has been silent for so long")
      ->check(CLI::Range(1'000, 86'400'000));
  app.add_option("--log-file", flags.log_file, "log here too");
}

absl::StatusOr<PoolOptions> ParsePool(const SlurmFlags& flags) {
  PoolOptions pool{.pool = flags.pool};
  RETURN_IF_ERROR(ParsePairs("--kind", flags.kinds, pool.kinds));
  RETURN_IF_ERROR(ParsePairs("--label", flags.labels, pool.labels));
  ASSIGN_OR_RETURN(const PortRange ports, ParsePorts(flags.ports));
  pool.port_first = ports.first;
  pool.port_last = ports.last;
  return pool;
}

absl::Status Run(SlurmFlags flags) {
  SlurmAgentsOptions options;
  options.state_dir = std::filesystem::absolute(flags.state_dir);
  options.controller = flags.controller;
  options.bin_dir = ExecutableDir();
  options.shim_program = options.bin_dir + "/oneai-shim";
  options.fence = absl::Milliseconds(flags.fence_ms);
  ASSIGN_OR_RETURN(options.tls, LoadTlsCredentials(flags.tls));
  ASSIGN_OR_RETURN(options.pool, ParsePool(flags));
  flags.slurm.env = BaseEnvironment(CurrentEnvironment());
  const SlurmClient client(flags.slurm);
  SlurmPool pool(&client);
  RETURN_IF_ERROR(pool.Start());
  SlurmAgents agents(std::move(options), &pool);
  RETURN_IF_ERROR(agents.Reconcile());
  if (agents.num_running() == 0) Log::Warning("no node of the Slurm cluster responds yet");
  Log::Info("Slurm pool started", {{"pool", flags.pool}, {"controller", flags.controller}});
  while (!g_stop) {
    absl::SleepFor(absl::Milliseconds(500));
    if (const absl::Status status = agents.Reconcile(); !status.ok())
      Log::Warning("cannot bring all of Slurm's nodes", {{"error", status}});
  }
  Log::Info("Slurm pool stopped", {{"pool", flags.pool}});
  return absl::OkStatus();
}

}  // namespace
}  // namespace oneai::fabric

int main(int argc, char** argv) {
  using oneai::Log;
  oneai::fabric::SlurmFlags flags;
  CLI::App app("oneai-slurm: brings a Slurm cluster into the fabric as a pool of nodes");
  oneai::fabric::AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  oneai::fabric::StopOnSignals(&oneai::fabric::g_stop);
  absl::Status status = Log::Start({.component = "slurm", .file = flags.log_file});
  if (status.ok()) status = oneai::fabric::Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "oneai-slurm: %s\n", status.ToString().c_str());
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) ? 2 : 1;
}
