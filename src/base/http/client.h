// File: base/http/client.h
//
// HTTP client for commands, probes and tests.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/http/message.h"

namespace oneai {

struct HttpClientOptions {
  std::string ca_pem;  // trust only this CA; empty: the system's
  absl::Duration timeout = absl::Seconds(30);
};

// One request to `url` (http or https); `request.path`, `query` and `remote` are not used,
// redirects are not followed. Unavailable: cannot connect. Unauthenticated: the server's
// certificate is not signed by the CA. DeadlineExceeded: not done in `timeout`. ResourceExhausted:
// a body beyond 64 MiB. Any HTTP status is a value.
absl::StatusOr<HttpResponse> HttpFetch(const std::string& url, const HttpRequest& request,
                                       const HttpClientOptions& options);

// Streams the response body to `on_data` until it ends or `on_data` returns false. Returns the
// status line and headers (names lower case). DeadlineExceeded: silence for `timeout`; the whole
// may take as long as it likes.
absl::StatusOr<HttpResponse> HttpFetchStream(const std::string& url, const HttpRequest& request,
                                             const HttpClientOptions& options,
                                             const std::function<bool(absl::string_view)>& on_data);

}  // namespace oneai
