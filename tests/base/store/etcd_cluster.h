// A real etcd cluster of one test's own: Debian's etcd on free ports of the loopback, in temporary
// folders, ended with the test however the test ends.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/auth/pki.h"
#include "base/store/etcd_options.h"
#include "tests/testing/temp_dir.h"

namespace oneai::testing {

struct EtcdClusterOptions {
  int num_members = 3;
  bool tls = false;
  std::vector<std::string> flags;  // added to every member's
};

class EtcdCluster {
 public:
  // False: no etcd here; tests skip with kNoEtcd.
  static bool IsInstalled();
  static constexpr char kNoEtcd[] = "etcd is not installed (apt-get install etcd-server)";

  // Returns when the members have a leader.
  explicit EtcdCluster(EtcdClusterOptions options = {});
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  // Options that reach it; its retries are as in production.
  EtcdOptions ClientOptions(const std::string& prefix) const;
  int size() const { return static_cast<int>(members_.size()); }

  void Kill(int member);     // kill -9
  void Restart(int member);  // a killed one, on its old data
  void Pause(int member);
  void Resume(int member);
  // Of those that answer; -1: they know none.
  int Leader() const;
  // Waits until there is a leader among the members that run.
  int AwaitLeader() const;

 private:
  struct Member {
    int client_port;
    int peer_port;
    pid_t pid = 0;
    bool paused = false;
  };
  void Start(int member);
  std::string Url(int port) const;

  const EtcdClusterOptions options_;
  TempDir dir_;
  std::optional<TlsCredentials> tls_;
  std::vector<Member> members_;
};

}  // namespace oneai::testing
