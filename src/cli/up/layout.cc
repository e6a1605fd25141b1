#include "cli/up/layout.h"

#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/auth/pki.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::cli {
namespace {

constexpr int kPortsPerNode = 200;
constexpr int kNodesMax = 20;

TlsFiles TlsFilesOf(const std::filesystem::path& dir, const std::string& name) {
  const std::filesystem::path pki = dir / "pki";
  return {(pki / "ca.crt").string(), (pki / (name + ".crt")).string(),
          (pki / (name + ".key")).string()};
}

void AppendTlsFlags(const TlsFiles& tls, std::vector<std::string>& argv) {
  argv.insert(argv.end(),
              {"--tls-ca", tls.ca, "--tls-cert", tls.certificate, "--tls-key", tls.private_key});
}

std::string Loopback(int port) { return absl::StrCat("127.0.0.1:", port); }

Component PlanController(const UpOptions& options, const std::filesystem::path& bin_dir) {
  const std::filesystem::path state = options.dir / "controller";
  Component controller{"controller",
                       {(bin_dir / "oneai-controller").string()},
                       options.dir / "logs" / "controller.log",
                       state / "endpoints.json"};
  controller.argv.insert(
      controller.argv.end(),
      {"--state-dir", state.string(), "--listen", Loopback(options.port_base), "--web",
       Loopback(options.port_base + 80), "--ca-dir", (options.dir / "pki").string(),
       "--first-admin-token", (options.dir / "admin.token").string()});
  AppendTlsFlags(TlsFilesOf(options.dir, "controller"), controller.argv);
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
                    "--controller", Loopback(options.port_base), "--address", "127.0.0.1",
                    "--ports", absl::StrCat(first, "-", first + kPortsPerNode - 1), "--cpus",
                    absl::StrCat(cpus), "--stop-tasks-on-exit"});
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
      {"--controller", Loopback(options.port_base), "--listen", Loopback(options.port_base + 100),
       "--http", Loopback(options.port_base + 180), "--state-dir", state.string()});
  AppendTlsFlags(TlsFilesOf(options.dir, "gateway"), gateway.argv);
  return gateway;
}

// The kind in a component's certificate: what it may do follows from it.
std::string KindOf(const std::string& name) {
  if (name == "controller" || name == "gateway") return name;
  return name == "cli" ? "user" : "node";
}

absl::Status EnsureCertificate(const CertificateAuthority& ca, const std::filesystem::path& dir,
                               const std::string& name) {
  const TlsFiles files = TlsFilesOf(dir, name);
  // A file that is absent, damaged or out of date is replaced; the fabric's CA is what must not
  // change.
  struct stat info;
  const bool fresh = stat(files.certificate.c_str(), &info) == 0 &&
                     absl::Now() - absl::FromTimeT(info.st_mtime) < absl::Hours(24 * 23);
  if (fresh && LoadTlsCredentials(files).ok()) return absl::OkStatus();
  CertificateRequest request;
  request.kind = KindOf(name);
  request.name = name;
  request.hosts = {"localhost", "127.0.0.1"};
  ASSIGN_OR_RETURN(const KeyPair pair, ca.Issue(request));
  RETURN_IF_ERROR(WriteFileAtomically(files.private_key, pair.private_key_pem, 0600));
  return WriteFileAtomically(files.certificate, pair.certificate_pem, 0644);
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
  plan.client.controller = Loopback(options.port_base);
  plan.client.web = "https://" + Loopback(options.port_base + 80);
  plan.client.gateway_grpc = Loopback(options.port_base + 100);
  plan.client.gateway_http = "https://" + Loopback(options.port_base + 180);
  plan.client.tls = TlsFilesOf(options.dir, "cli");
  plan.client.token_file = (options.dir / "admin.token").string();
  plan.components.push_back(PlanController(options, bin_dir));
  for (int i = 0; i < num_nodes; ++i)
    plan.components.push_back(PlanNode(options, bin_dir, i, i >= options.num_cpu_nodes));
  plan.components.push_back(PlanGateway(options, bin_dir));
  return plan;
}

absl::Status PrepareFolder(const FabricPlan& plan) {
  for (const char* sub : {"", "pki", "logs", "controller", "nodes", "gateway"}) {
    std::error_code error;
    std::filesystem::create_directories(plan.dir / sub, error);
    if (error)
      return absl::UnavailableError(
          absl::StrCat("cannot make ", (plan.dir / sub).string(), ": ", error.message()));
    chmod((plan.dir / sub).c_str(), 0700);
  }
  const std::string pki = (plan.dir / "pki").string();
  absl::StatusOr<CertificateAuthority> ca = CertificateAuthority::Load(pki);
  if (absl::IsNotFound(ca.status())) {
    ca = CertificateAuthority::Create();
    RETURN_IF_ERROR(ca.status());
    RETURN_IF_ERROR(ca->Save(pki));
  }
  RETURN_IF_ERROR(ca.status());
  RETURN_IF_ERROR(EnsureCertificate(*ca, plan.dir, "cli"));
  for (const Component& component : plan.components)
    RETURN_IF_ERROR(EnsureCertificate(*ca, plan.dir, component.name));
  return absl::OkStatus();
}

}  // namespace oneai::cli
