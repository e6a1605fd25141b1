// File: base/http/server.h
//
// HTTP/1.1 server on Boost.Beast, with TLS. Handlers run on a bounded pool of worker threads;
// responses are whole or streamed. Limits (head 16 KiB, body, idle and header time-outs,
// connections) are enforced before a handler sees anything.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/auth/pki.h"
#include "base/http/message.h"

namespace oneai {

// Where a handler sends its answer: either Send once, or BeginStream, Write any number of times,
// and End. Thread-safe against the connection's end.
class HttpResponder {
 public:
  virtual ~HttpResponder() = default;
  virtual void Send(HttpResponse response) = 0;
  // Chunked response; headers of `head` are sent, its body is ignored.
  virtual void BeginStream(HttpResponse head) = 0;
  // Blocks while the client is slow, up to the write time-out. False: the client has gone (or is
  // too slow); stop producing.
  virtual bool Write(absl::string_view data) = 0;
  virtual void End() = 0;
  // True once the client has closed or reset the connection: also seen while nothing is being
  // written.
  virtual bool Cancelled() const = 0;
};

using HttpHandler = std::function<void(const HttpRequest&, HttpResponder&)>;

// How a server, or a router, words what it answers itself: `status` 4xx or 5xx, `why` a clause
// without a line break. Called by any thread. Headers that a status needs are added to it.
using HttpRefusal = std::function<HttpResponse(int status, absl::string_view why)>;
HttpResponse TextRefusal(int status, absl::string_view why);  // the clause as a line of text

struct HttpServerOptions {
  HttpRefusal refusal = &TextRefusal;
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one
  // Serves HTTPS when set (certificate and key; ca_pem is not used: browsers have no client
  // certificate).
  bool use_tls = true;
  TlsCredentials tls;
  // Also the number of streams at a time. A request that finds all busy waits up to two seconds for
  // one, then gets 503 with Retry-After.
  int num_workers = 16;
  int64_t body_bytes_max = 8 << 20;  // 413 beyond
  int connections_max = 1024;        // closed at once beyond
  absl::Duration header_timeout = absl::Seconds(10);
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration write_timeout = absl::Seconds(30);
};

class HttpServer {
 public:
  // Unavailable: the port is in use (names it and says how to choose another).
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options,
                                                           HttpHandler handler);
  virtual ~HttpServer() = default;
  virtual int port() const = 0;
  // Stops accepting, lets running handlers end up to `grace`, closes the rest.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace oneai
