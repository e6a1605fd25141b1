#include "cli/up/ha_layout.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cli/up/certificates.h"

namespace oneai::cli {
namespace {

constexpr int kEtcdClientPort = 20;
constexpr int kEtcdPeerPort = 30;

std::string MemberName(int index) {
  return absl::StrCat("etcd-", std::string(1, static_cast<char>('a' + index)));
}

std::string Url(int port) { return absl::StrCat("https://127.0.0.1:", port); }

}  // namespace

absl::StatusOr<std::string> FindEtcd() {
  const char* path = std::getenv("PATH");
  const std::string places = absl::StrCat(path == nullptr ? "" : path, ":/usr/bin:/usr/local/bin");
  for (const absl::string_view folder : absl::StrSplit(places, ':', absl::SkipEmpty())) {
    const std::string file = absl::StrCat(folder, "/etcd");
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return absl::FailedPreconditionError(
      "--ha keeps the fabric's state in etcd, which is not installed: apt-get install etcd-server "
      "(its own service is not needed), or start the fabric without --ha");
}

TlsFiles EtcdTlsFiles(const std::filesystem::path& dir, const std::string& name) {
  return TlsFilesIn(dir / "etcd" / "pki", name);
}

std::string EtcdAddresses(const UpOptions& options) {
  std::vector<std::string> addresses;
  for (int i = 0; i < kNumReplicas; ++i)
    addresses.push_back(absl::StrCat("127.0.0.1:", options.port_base + kEtcdClientPort + i));
  return absl::StrJoin(addresses, ",");
}

std::vector<Component> PlanEtcd(const UpOptions& options, const std::string& etcd) {
  std::vector<std::string> cluster;
  for (int i = 0; i < kNumReplicas; ++i)
    cluster.push_back(absl::StrCat(MemberName(i), "=", Url(options.port_base + kEtcdPeerPort + i)));
  const TlsFiles tls = EtcdTlsFiles(options.dir, "member");
  std::vector<Component> members;
  for (int i = 0; i < kNumReplicas; ++i) {
    const std::string name = MemberName(i);
    const std::string client = Url(options.port_base + kEtcdClientPort + i);
    const std::string peer = Url(options.port_base + kEtcdPeerPort + i);
    Component member{name, {etcd}, options.dir / "logs" / (name + ".log"), ""};
    member.argv.insert(
        member.argv.end(),
        {"--name", name, "--data-dir", (options.dir / "etcd" / name).string(),
         "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls",
         peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
         absl::StrJoin(cluster, ","), "--initial-cluster-state", "new", "--logger", "zap"});
    // A new leader of etcd's own within a second, so that its loss does not end the controller's
    // lease; and room for the largest value.
    member.argv.insert(member.argv.end(),
                       {"--heartbeat-interval", "50", "--election-timeout", "500",
                        "--max-request-bytes", "9437184", "--max-txn-ops", "4096"});
    for (const char* kind : {"--", "--peer-"}) {
      member.argv.insert(member.argv.end(), {absl::StrCat(kind, "cert-file"), tls.certificate,
                                             absl::StrCat(kind, "key-file"), tls.private_key,
                                             absl::StrCat(kind, "trusted-ca-file"), tls.ca,
                                             absl::StrCat(kind, "client-cert-auth")});
    }
    members.push_back(std::move(member));
  }
  return members;
}

absl::Status PrepareEtcd(const std::filesystem::path& dir) {
  for (const char* sub : {"etcd", "etcd/pki"}) {
    std::error_code error;
    std::filesystem::create_directories(dir / sub, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot make ", (dir / sub).string(), ": ", error.message()));
    }
    chmod((dir / sub).c_str(), 0700);
  }
  const std::filesystem::path pki = dir / "etcd" / "pki";
  ASSIGN_OR_RETURN(const CertificateAuthority ca, EnsureAuthority(pki));
  for (const char* name : {"member", "client"}) {
    RETURN_IF_ERROR(EnsureCertificate(ca, pki, {"component", name, {"localhost", "127.0.0.1"}}));
  }
  return absl::OkStatus();
}

absl::Status CheckKindOfFolder(const std::filesystem::path& dir, bool ha) {
  if (ha && std::filesystem::exists(dir / "controller" / "store.db")) {
    return absl::FailedPreconditionError(
        absl::StrCat("the fabric in ", dir.string(),
                     " keeps its state in SQLite, and --ha would "
                     "begin with an empty one in etcd: start it without --ha, or name another "
                     "folder with --dir"));
  }
  if (!ha && std::filesystem::exists(dir / "etcd")) {
    return absl::FailedPreconditionError(absl::StrCat("the fabric in ", dir.string(),
                                                      " keeps its state in etcd: start it with "
                                                      "--ha, or name another folder with --dir"));
  }
  return absl::OkStatus();
}

}  // namespace oneai::cli
