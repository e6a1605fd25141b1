// File: cli/session.h
//
// What every command needs to talk to a fabric: addresses and credentials from client.json, one
// channel, calls with deadlines.
#pragma once

#include <grpcpp/client_context.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/auth/pki.h"
#include "base/grpc/channel.h"
#include "base/grpc/status.h"

namespace oneai::cli {

// client.json of a fabric's folder, written by `oneai up`.
struct ClientConfig {
  std::string controller;    // host:port
  std::string web;           // https://host:port
  std::string gateway_grpc;  // host:port
  std::string gateway_http;  // https://host:port
  TlsFiles tls;
  std::string token_file;
};

// `--dir`, else $ONEAI_FABRIC_DIR, else $XDG_DATA_HOME/oneai/default, else
// ~/.local/share/oneai/default.
std::filesystem::path FabricDir(const std::string& flag);

// NotFound: no fabric in this folder (says how to start one).
absl::StatusOr<ClientConfig> ReadClientConfig(const std::filesystem::path& fabric_dir);
absl::Status WriteClientConfig(const std::filesystem::path& fabric_dir, const ClientConfig& config);

class Session {
 public:
  // Reads credentials; connects at the first call. `token_file`: instead of the one in client.json;
  // empty: that one.
  static absl::StatusOr<Session> Open(const std::filesystem::path& fabric_dir,
                                      const std::string& token_file);

  const ClientConfig& config() const { return config_; }
  const std::shared_ptr<grpc::Channel>& controller() const { return controller_; }
  std::shared_ptr<grpc::Channel> Gateway() const { return NewChannel(config_.gateway_grpc, tls_); }
  const std::string& token() const { return token_; }
  const TlsCredentials& tls() const { return tls_; }

  // One unary call: Call<JobService::Stub>(&Stub::GetJob, request).
  template <typename Service, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Service::Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                                const Request& request,
                                absl::Duration timeout = absl::Seconds(15)) const {
    const auto stub = Service::NewStub(controller_);
    grpc::ClientContext context;
    PrepareContext(context, timeout, token_);
    Response response;
    const grpc::Status status = ((*stub).*method)(&context, request, &response);
    if (!status.ok()) return Explain(FromGrpcStatus(status));
    return response;
  }

  // Adds what a person can do about an unreachable fabric.
  absl::Status Explain(absl::Status status) const;

 private:
  ClientConfig config_;
  TlsCredentials tls_;
  std::string token_;
  std::shared_ptr<grpc::Channel> controller_;
};

}  // namespace oneai::cli
