// File: controller/web/web_server.h
//
// The dashboard's door: sessions, JSON over the platform's own services, live updates, embedded
// files. A session acts through the same gRPC services as the CLI, with its own token, so a browser
// can do exactly what its person may.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/auth/pki.h"
#include "base/auth/token_store.h"
#include "base/http/server.h"
#include "controller/auth_service.h"

namespace oneai {

struct WebOptions {
  std::string host = "127.0.0.1";
  int port = 0;
  TlsCredentials tls;                   // what browsers see
  std::string controller_address;       // of the gRPC services, on this machine
  std::function<void()> before_scrape;  // called before /metrics is answered; may be empty
  TlsCredentials client_tls;  // a certificate of kind `user`: carries no rights of its own
};

class WebServer {
 public:
  // `tokens` and `codes` must outlive it. Unavailable: port in use.
  static absl::StatusOr<std::unique_ptr<WebServer>> Start(const WebOptions& options,
                                                          TokenStore* tokens, LoginCodes* codes);
  virtual ~WebServer() = default;
  virtual int port() const = 0;
  virtual void Stop() = 0;
};

}  // namespace oneai
