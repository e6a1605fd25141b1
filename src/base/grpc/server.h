// File: base/grpc/server.h
//
// A gRPC server as every oneai process runs it: mutual TLS with the client certificate required in
// the handshake (Debian's gRPC 1.51 has unfixed HTTP/2 bugs, so no stranger's byte may reach it),
// grpc.health.v1, bounded message sizes, keepalive.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/auth/pki.h"

namespace grpc {
class Service;
class Server;
}  // namespace grpc

namespace oneai {

struct GrpcServerOptions {
  std::string address = "127.0.0.1:0";  // port 0: any free one
  TlsCredentials tls;
  int64_t message_bytes_max = 16 << 20;
  bool reflection = false;
};

// Start() to Stop(). Thread-safe.
class GrpcServer {
 public:
  // `services` must outlive the server. Unavailable: the address is in use (names it and says how
  // to choose another).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, const std::vector<grpc::Service*>& services);
  ~GrpcServer();
  int port() const { return port_; }
  // Health NOT_SERVING, then waits for running calls up to `grace`, then cancels them.
  void Stop(absl::Duration grace);
  // Sets the health status of one service name ("" = whole server).
  void SetServing(const std::string& service, bool serving);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl, int port);
  std::unique_ptr<Impl> impl_;
  int port_;
};

}  // namespace oneai
