#include "tests/base/store/etcd_cluster.h"

#include <arpa/inet.h>
#include <grpcpp/client_context.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/store/etcd_members.h"
#include "tests/testing/status_matchers.h"

namespace oneai::testing {
namespace {

// Held open together, so that no two are alike.
std::vector<int> FreePorts(int count) {
  std::vector<int> sockets, ports;
  for (int i = 0; i < count; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    sockets.push_back(fd);
    ports.push_back(ntohs(address.sin_port));
  }
  for (int fd : sockets) close(fd);
  return ports;
}

std::string FindEtcd() {
  for (const char* dir : {"/usr/bin", "/usr/local/bin", "/usr/sbin"}) {
    const std::string path = absl::StrCat(dir, "/etcd");
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

}  // namespace

bool EtcdCluster::IsInstalled() { return !FindEtcd().empty(); }

EtcdCluster::EtcdCluster(EtcdClusterOptions options) : options_(std::move(options)) {
  if (options_.tls) {
    const CertificateAuthority ca = CertificateAuthority::Create().value();
    const KeyPair pair = ca.Issue({"component", "etcd", {"localhost", "127.0.0.1"}}).value();
    tls_ = TlsCredentials{ca.certificate_pem(), pair.certificate_pem, pair.private_key_pem};
    EXPECT_OK(WriteFileAtomically(dir_.path() / "ca.crt", tls_->ca_pem));
    EXPECT_OK(WriteFileAtomically(dir_.path() / "etcd.crt", tls_->certificate_pem));
    EXPECT_OK(WriteFileAtomically(dir_.path() / "etcd.key", tls_->private_key_pem, 0600));
  }
  const std::vector<int> ports = FreePorts(2 * options_.num_members);
  for (int i = 0; i < options_.num_members; ++i)
    members_.push_back({ports[2 * i], ports[2 * i + 1]});
  for (int i = 0; i < size(); ++i) Start(i);
  AwaitLeader();
}

EtcdCluster::~EtcdCluster() {
  for (int i = 0; i < size(); ++i) Kill(i);
}

std::string EtcdCluster::Url(int port) const {
  return absl::StrCat(options_.tls ? "https" : "http", "://127.0.0.1:", port);
}

EtcdOptions EtcdCluster::ClientOptions(const std::string& prefix) const {
  EtcdOptions options;
  for (const Member& member : members_)
    options.endpoints.push_back(absl::StrCat("127.0.0.1:", member.client_port));
  options.prefix = prefix;
  options.tls = tls_;
  return options;
}

void EtcdCluster::Start(int index) {
  std::vector<std::string> cluster;
  for (int i = 0; i < size(); ++i)
    cluster.push_back(absl::StrCat("m", i, "=", Url(members_[i].peer_port)));
  Member& member = members_[index];
  const std::string name = absl::StrCat("m", index);
  ChildOptions child;
  child.argv = {FindEtcd(),
                "--name",
                name,
                "--data-dir",
                (dir_.path() / name).string(),
                "--listen-client-urls",
                Url(member.client_port),
                "--advertise-client-urls",
                Url(member.client_port),
                "--listen-peer-urls",
                Url(member.peer_port),
                "--initial-advertise-peer-urls",
                Url(member.peer_port),
                "--initial-cluster",
                absl::StrJoin(cluster, ","),
                "--initial-cluster-state",
                "new",
                "--heartbeat-interval",
                "50",
                "--election-timeout",
                "500",
                "--logger",
                "zap"};
  if (options_.tls) {
    for (const char* kind : {"", "peer-"}) {
      for (const char* file :
           {"cert-file=etcd.crt", "key-file=etcd.key", "trusted-ca-file=ca.crt"}) {
        std::vector<std::string> parts = absl::StrSplit(file, '=');
        child.argv.insert(child.argv.end(),
                          {absl::StrCat("--", kind, parts[0]), (dir_.path() / parts[1]).string()});
      }
      child.argv.push_back(absl::StrCat("--", kind, "client-cert-auth"));
    }
  }
  child.argv.insert(child.argv.end(), options_.flags.begin(), options_.flags.end());
  child.env = CurrentEnvironment();
  child.output_file = (dir_.path() / (name + ".log")).string();
  child.die_with_parent = true;
  const absl::StatusOr<pid_t> pid = SpawnChild(child);
  ASSERT_TRUE(pid.ok()) << pid.status();
  member.pid = *pid;
}

void EtcdCluster::Kill(int index) {
  Member& member = members_[index];
  if (member.pid == 0) return;
  kill(member.pid, SIGKILL);
  waitpid(member.pid, nullptr, 0);
  member.pid = 0;
  member.paused = false;
}

void EtcdCluster::Restart(int index) { Start(index); }

void EtcdCluster::Pause(int index) {
  kill(members_[index].pid, SIGSTOP);
  members_[index].paused = true;
}

void EtcdCluster::Resume(int index) {
  kill(members_[index].pid, SIGCONT);
  members_[index].paused = false;
}

int EtcdCluster::Leader() const {
  EtcdMembers members(ClientOptions("x"));
  for (int i = 0; i < size(); ++i) {
    if (members_[i].pid == 0 || members_[i].paused) continue;
    grpc::ClientContext context;
    PrepareEtcdContext(context, absl::Seconds(1));
    etcdserverpb::StatusResponse status;
    const auto channel = members.at(static_cast<size_t>(i)).channel;
    if (etcdserverpb::Maintenance::NewStub(channel)
            ->Status(&context, etcdserverpb::StatusRequest(), &status)
            .ok() &&
        status.leader() != 0 && status.leader() == status.header().member_id()) {
      return i;
    }
  }
  return -1;
}

int EtcdCluster::AwaitLeader() const {
  for (int i = 0; i < 600; ++i) {
    if (const int leader = Leader(); leader >= 0) return leader;
    absl::SleepFor(absl::Milliseconds(50));
  }
  ADD_FAILURE() << "etcd found no leader within 30 s; logs in " << dir_.path();
  return -1;
}

}  // namespace oneai::testing
