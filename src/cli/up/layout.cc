#include "cli/up/layout.h"

#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/grpc/channel.h"
#include "base/status.h"
#include "cli/up/certificates.h"
#include "cli/up/ha_layout.h"

namespace oneai::cli {
namespace {

constexpr int kPortsPerNode = 200;
constexpr int kNodesMax = 20;

TlsFiles TlsFilesOf(const std::filesystem::path& dir, const std::string& name) {
  return TlsFilesIn(dir / "pki", name);
}

void AppendTlsFlags(const TlsFiles& tls, std::vector<std::string>& argv) {
  argv.insert(argv.end(),
              {"--tls-ca", tls.ca, "--tls-cert", tls.certificate, "--tls-key", tls.private_key});
}

std::string Loopback(int port) { return absl::StrCat("127.0.0.1:", port); }

// Where the controllers serve, with commas.
std::string Controllers(const UpOptions& options, absl::string_view scheme, int offset) {
  std::vector<std::string> addresses;
  for (int i = 0; i < (options.ha ? kNumReplicas : 1); ++i)
    addresses.push_back(absl::StrCat(scheme, Loopback(options.port_base + offset + i)));
  return absl::StrJoin(addresses, ",");
}

// The only controller, or number `index` of several.
Component PlanController(const UpOptions& options, const std::filesystem::path& bin_dir,
                         int index) {
  const std::string name =
      options.ha ? absl::StrCat("controller-", std::string(1, static_cast<char>('a' + index)))
                 : "controller";
  const std::filesystem::path state = options.dir / name;
  Component controller{name,
                       {(bin_dir / "oneai-controller").string()},
                       options.dir / "logs" / (name + ".log"),
                       state / "endpoints.json"};
  controller.argv.insert(
      controller.argv.end(),
      {"--state-dir", state.string(), "--listen", Loopback(options.port_base + index), "--web",
       Loopback(options.port_base + 80 + index), "--ca-dir", (options.dir / "pki").string(),
       "--first-admin-token", (options.dir / "admin.token").string()});
  if (options.ha) {
    const TlsFiles etcd = EtcdTlsFiles(options.dir, "client");
    controller.argv.insert(controller.argv.end(),
                           {"--name", name, "--shared-dir", (options.dir / "controller").string(),
                            "--etcd", EtcdAddresses(options), "--etcd-ca", etcd.ca, "--etcd-cert",
                            etcd.certificate, "--etcd-key", etcd.private_key});
  }
  AppendTlsFlags(TlsFilesOf(options.dir, name), controller.argv);
  return controller;
}

Component PlanNode(const UpOptions& options, const std::filesystem::path& bin_dir, int index,
                   bool asic) {
  const int ordinal = asic ? index - options.num_cpu_nodes : index;
  const std::string name =
      absl::StrCat(asic ? "asic-" : "node-", std::string(1, static_cast<char>('a' + ordinal)));
  const int first = options.port_base + 1000 + index * kPortsPerNode;
  const double cpus = options.cpus_per_node > 0 ? options.cpus_per_node
                                                : std::max(1U, std::thread::hardware_concurrency());
  Component node{
      name, {(bin_dir / "oneai-node").string()}, options.dir / "logs" / (name + ".log"), ""};
  node.argv.insert(node.argv.end(),
                   {"--name", name, "--state-dir", (options.dir / "nodes" / name).string(),
                    "--controller", Controllers(options, "", 0), "--address", "127.0.0.1",
                    "--ports", absl::StrCat(first, "-", first + kPortsPerNode - 1), "--cpus",
                    absl::StrCat(cpus), "--stop-tasks-on-exit",
                    // This folder holds keys, tokens and the store; of it tasks see their own
                    // folders and the data that they may open.
                    "--hide", options.dir.string(), "--readable",
                    (options.dir / "controller" / "data").string()});
  if (asic) {
    node.argv.insert(
        node.argv.end(),
        {"--asic-plugin", (bin_dir.parent_path() / "lib" / "liboneai_asic_emulator.so").string(),
         "--asic-devices", "1"});
  }
  AppendTlsFlags(TlsFilesOf(options.dir, name), node.argv);
  node.cleanup_argv = node.argv;
  node.cleanup_argv.push_back("--exit-at-once");
  return node;
}

Component PlanGateway(const UpOptions& options, const std::filesystem::path& bin_dir) {
  const std::filesystem::path state = options.dir / "gateway";
  Component gateway{"gateway",
                    {(bin_dir / "oneai-gateway").string()},
                    options.dir / "logs" / "gateway.log",
                    state / "endpoints.json"};
  gateway.argv.insert(
      gateway.argv.end(),
      {"--controller", Controllers(options, "", 0), "--listen", Loopback(options.port_base + 100),
       "--http", Loopback(options.port_base + 180), "--state-dir", state.string()});
  AppendTlsFlags(TlsFilesOf(options.dir, "gateway"), gateway.argv);
  return gateway;
}

// The certificate of a component: what it may do follows from its kind.
CertificateRequest RequestFor(const std::string& name) {
  CertificateRequest request{"node", name, {"localhost", "127.0.0.1"}};
  if (name == "gateway") request.kind = name;
  if (name == "cli") request.kind = "user";
  if (absl::StartsWith(name, "controller")) {
    request.kind = "controller";
    request.hosts.push_back(kControllerName);
  }
  return request;
}

}  // namespace

absl::StatusOr<FabricPlan> PlanFabric(const UpOptions& options,
                                      const std::filesystem::path& bin_dir) {
  const int num_nodes = options.num_cpu_nodes + options.num_asic_nodes;
  if (options.num_cpu_nodes < 0 || options.num_asic_nodes < 0 || num_nodes < 1 ||
      num_nodes > kNodesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a one-machine fabric has 1 to ", kNodesMax, " nodes, not ", num_nodes));
  }
  const int last_port = options.port_base + 1000 + num_nodes * kPortsPerNode;
  if (options.port_base < 1024 || last_port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--port-base ", options.port_base,
                                                   " is out of range: choose 1024 to ",
                                                   65535 - 1000 - num_nodes * kPortsPerNode));
  }
  FabricPlan plan;
  plan.dir = options.dir;
  plan.client.controller = Controllers(options, "", 0);
  plan.client.web = Controllers(options, "https://", 80);
  plan.client.gateway_grpc = Loopback(options.port_base + 100);
  plan.client.gateway_http = "https://" + Loopback(options.port_base + 180);
  plan.client.tls = TlsFilesOf(options.dir, "cli");
  plan.client.token_file = (options.dir / "admin.token").string();
  plan.ha = options.ha;
  plan.num_nodes = static_cast<size_t>(num_nodes);
  if (options.ha) {
    ASSIGN_OR_RETURN(const std::string etcd, FindEtcd());
    plan.components = PlanEtcd(options, etcd);
  }
  for (int i = 0; i < (options.ha ? kNumReplicas : 1); ++i)
    plan.components.push_back(PlanController(options, bin_dir, i));
  for (int i = 0; i < num_nodes; ++i)
    plan.components.push_back(PlanNode(options, bin_dir, i, i >= options.num_cpu_nodes));
  plan.components.push_back(PlanGateway(options, bin_dir));
  return plan;
}

absl::Status PrepareFolder(const FabricPlan& plan) {
  RETURN_IF_ERROR(CheckKindOfFolder(plan.dir, plan.ha));
  for (const char* sub : {"", "pki", "logs", "controller", "nodes", "gateway"}) {
    std::error_code error;
    std::filesystem::create_directories(plan.dir / sub, error);
    if (error)
      return absl::UnavailableError(
          absl::StrCat("cannot make ", (plan.dir / sub).string(), ": ", error.message()));
    chmod((plan.dir / sub).c_str(), 0700);
  }
  const std::filesystem::path pki = plan.dir / "pki";
  ASSIGN_OR_RETURN(const CertificateAuthority ca, EnsureAuthority(pki));
  RETURN_IF_ERROR(EnsureCertificate(ca, pki, RequestFor("cli")));
  for (const Component& component : plan.components) {
    if (absl::StartsWith(component.name, "etcd-")) continue;  // of a CA of their own
    RETURN_IF_ERROR(EnsureCertificate(ca, pki, RequestFor(component.name)));
  }
  return plan.ha ? PrepareEtcd(plan.dir) : absl::OkStatus();
}

}  // namespace oneai::cli
