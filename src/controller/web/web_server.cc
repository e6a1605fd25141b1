#include "controller/web/web_server.h"

#include <atomic>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/grpc/channel.h"
#include "base/http/router.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "base/status.h"
#include "controller/web/api.h"
#include "controller/web/static_files.h"
#include "nlohmann/json.hpp"

namespace oneai {
namespace {

constexpr char kCookie[] = "__Host-oneai";
constexpr int64_t kSessionSeconds = 12 * 3600;

// No other origin's script, style, frame or form has a part in the page
// (docs/adr/0005-dashboard.md).
const std::vector<std::pair<std::string, std::string>>& SecurityHeaders() {
  static const auto* const headers = new std::vector<std::pair<std::string, std::string>>{
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src "
       "'self'; "
       "worker-src 'self'; font-src 'self'; base-uri 'none'; object-src 'none'; form-action "
       "'self'; "
       "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types app"},
      {"Strict-Transport-Security", "max-age=31536000"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"}};
  return *headers;
}

// Adds the security headers to whatever a handler answers.
class SecuredResponder final : public HttpResponder {
 public:
  explicit SecuredResponder(HttpResponder& inner) : inner_(inner) {}
  void Send(HttpResponse response) override { inner_.Send(Secured(std::move(response))); }
  void BeginStream(HttpResponse head) override { inner_.BeginStream(Secured(std::move(head))); }
  bool Write(absl::string_view data) override { return inner_.Write(data); }
  void End() override { inner_.End(); }
  bool Cancelled() const override { return inner_.Cancelled(); }

 private:
  static HttpResponse Secured(HttpResponse response) {
    response.headers.insert(response.headers.end(), SecurityHeaders().begin(),
                            SecurityHeaders().end());
    return response;
  }
  HttpResponder& inner_;
};

std::string SessionToken(const HttpRequest& request) {
  return request.Cookie(kCookie).value_or("");
}

HttpResponse Refusal(int status, absl::string_view message) {
  const nlohmann::json json = {
      {"error", {{"code", absl::StrCat(status)}, {"message", std::string(message)}}}};
  return HttpResponse::Json(status, json.dump());
}

// A page of another site cannot make this request: browsers say where it comes from, and it must be
// JSON, which a form cannot send.
bool IsSameSite(const HttpRequest& request) {
  const std::optional<std::string> site = request.Header("sec-fetch-site");
  if (site && *site != "same-origin") return false;
  return absl::StartsWith(request.Header("content-type").value_or(""), "application/json");
}

class WebServerImpl final : public WebServer {
 public:
  WebServerImpl(TokenStore* tokens, LoginCodes* codes) : tokens_(tokens), codes_(codes) {}
  ~WebServerImpl() override { Stop(); }

  absl::Status Listen(const WebOptions& options) {
    AddApiRoutes(router_, NewChannel(options.controller_address, options.client_tls), &SessionToken,
                 &stopping_);
    router_.Handle("POST", "/api/v1/login",
                   [this](const HttpRequest& request, const PathParameters&,
                          HttpResponder& responder) { responder.Send(Login(request)); });
    router_.Handle("POST", "/api/v1/logout",
                   [this](const HttpRequest& request, const PathParameters&,
                          HttpResponder& responder) { responder.Send(Logout(request)); });
    router_.Handle("GET", "/metrics",
                   [before_scrape = options.before_scrape](
                       const HttpRequest&, const PathParameters&, HttpResponder& responder) {
                     if (before_scrape) before_scrape();
                     responder.Send(MetricsResponse());
                   });
    router_.Handle("GET", "/health",
                   [](const HttpRequest&, const PathParameters&, HttpResponder& responder) {
                     responder.Send(HttpResponse::Text(200, "ok\n"));
                   });
    router_.HandleOther([](const HttpRequest& request, HttpResponder& responder) {
      responder.Send(StaticFile(request));
    });

    HttpServerOptions http;
    http.host = options.host;
    http.port = options.port;
    http.tls = options.tls;
    http.num_workers = 64;
    http.body_bytes_max = 1 << 20;
    ASSIGN_OR_RETURN(server_, HttpServer::Start(http, [this](const HttpRequest& request,
                                                             HttpResponder& responder) {
                       Serve(request, responder);
                     }));
    return absl::OkStatus();
  }

  int port() const override { return server_->port(); }

  void Stop() override {
    stopping_ = true;
    if (server_ != nullptr) server_->Stop(absl::Seconds(2));
  }

 private:
  void Serve(const HttpRequest& request, HttpResponder& responder) {
    SecuredResponder secured(responder);
    if (request.method != "GET" && request.method != "HEAD" && !IsSameSite(request)) {
      return secured.Send(Refusal(403, "changes must come from this site's own pages, as JSON"));
    }
    router_.Serve(request, secured);
  }

  // A login code becomes a session: a token of its own, in a cookie that scripts cannot read.
  HttpResponse Login(const HttpRequest& request) {
    const nlohmann::json body =
        nlohmann::json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!body.is_object() || !body.contains("code") || !body["code"].is_string()) {
      return Refusal(400, "send {\"code\": \"...\"} with the code that `oneai ui` printed");
    }
    const absl::StatusOr<Identity> identity = codes_->Redeem(body["code"].get<std::string>());
    if (!identity.ok()) return Refusal(401, identity.status().message());
    auth::v1::CreateTokenRequest session;
    session.set_name(identity->principal.name());
    session.set_kind(common::v1::Principal::USER);
    session.set_business_unit(identity->principal.business_unit());
    for (const auth::v1::RoleBinding& binding : identity->bindings)
      *session.add_bindings() = binding;
    session.set_lifetime_seconds(kSessionSeconds);
    const absl::StatusOr<auth::v1::CreateTokenResponse> token = tokens_->Create(session);
    if (!token.ok()) return Refusal(503, token.status().message());
    HttpResponse response = HttpResponse::Json(200, "{}");
    response.headers.emplace_back(
        "Set-Cookie",
        absl::StrCat(kCookie, "=", token->secret(),
                     "; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=", kSessionSeconds));
    return response;
  }

  HttpResponse Logout(const HttpRequest& request) {
    tokens_->RevokeSecret(SessionToken(request)).IgnoreError();
    HttpResponse response = HttpResponse::Json(200, "{}");
    response.headers.emplace_back(
        "Set-Cookie",
        absl::StrCat(kCookie, "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"));
    return response;
  }

  TokenStore* const tokens_;
  LoginCodes* const codes_;
  std::atomic<bool> stopping_{false};
  HttpRouter router_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WebServer>> WebServer::Start(const WebOptions& options,
                                                            TokenStore* tokens, LoginCodes* codes) {
  auto server = std::make_unique<WebServerImpl>(tokens, codes);
  RETURN_IF_ERROR(server->Listen(options));
  return server;
}

}  // namespace oneai
