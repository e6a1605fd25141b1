// The dashboard's door over real HTTPS, before the real services.
#include "controller/web/web_server.h"

#include "absl/strings/match.h"
#include "base/http/client.h"
#include "controller/web/static_files.h"
#include "nlohmann/json.hpp"
#include "tests/controller/control_plane_fixture.h"

namespace oneai {

// Instead of the built dashboard: a page and an asset.
absl::Span<const EmbeddedFile> EmbeddedFiles() {
  static const unsigned char page[] = "<html>page</html>";
  static const unsigned char script[] = "script";
  static const unsigned char zipped[] = "zipped";
  static const EmbeddedFile files[] = {
      {"/index.html", "text/html", "\"p1\"", false, page, sizeof(page) - 1, nullptr, 0},
      {"/assets/a.js", "text/javascript", "\"s1\"", true, script, 6, zipped, 6}};
  return files;
}

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr char kJson[] = "application/json";

class WebServerTest : public testing::ControlPlaneFixture {
 protected:
  void SetUp() override {
    ControlPlaneFixture::SetUp();
    WebOptions options;
    options.tls = Credentials("controller", "web");
    options.controller_address = address_;
    options.client_tls = Credentials("user", "dashboard");
    ASSERT_OK_AND_ASSIGN(web_, WebServer::Start(options, &tokens_, &codes_));
  }
  void TearDown() override {
    web_->Stop();
    ControlPlaneFixture::TearDown();
  }

  std::string Url(const std::string& path) const {
    return absl::StrCat("https://127.0.0.1:", web_->port(), path);
  }
  HttpResponse Fetch(const std::string& method, const std::string& path,
                     const Headers& headers = {}, const std::string& body = "") const {
    HttpRequest request;
    request.method = method;
    request.headers = headers;
    request.body = body;
    const absl::StatusOr<HttpResponse> response =
        HttpFetch(Url(path), request, {ca_.certificate_pem(), absl::Seconds(30)});
    EXPECT_OK(response);
    return response.ok() ? *response : HttpResponse();
  }
  static std::string HeaderOf(const HttpResponse& response, absl::string_view name) {
    for (const auto& [key, value] : response.headers) {
      if (absl::EqualsIgnoreCase(key, name)) return value;
    }
    return "";
  }

  std::string Code(auth::v1::Role role = auth::v1::ENGINEER, const std::string& unit = "retail") {
    Identity identity;
    identity.principal.set_kind(common::v1::Principal::USER);
    identity.principal.set_name("alice");
    identity.principal.set_business_unit("retail");
    auth::v1::RoleBinding binding;
    binding.set_role(role);
    binding.set_business_unit(unit);
    identity.bindings.push_back(binding);
    return codes_.Create(identity).code();
  }
  HttpResponse Login(const std::string& code) const {
    return Fetch("POST", "/api/v1/login", {{"content-type", kJson}},
                 nlohmann::json({{"code", code}}).dump());
  }
  // "__Host-oneai=...", of a new session.
  std::string Session() { return SessionAs(auth::v1::ENGINEER, "retail"); }
  std::string SessionAs(auth::v1::Role role, const std::string& unit) {
    const std::string cookie = HeaderOf(Login(Code(role, unit)), "set-cookie");
    return cookie.substr(0, cookie.find(';'));
  }

  std::unique_ptr<WebServer> web_;
};

TEST_F(WebServerTest, ACodeBecomesASessionOnce) {
  const std::string code = Code();
  const HttpResponse first = Login(code);
  EXPECT_EQ(first.status, 200);
  EXPECT_THAT(HeaderOf(first, "set-cookie"),
              AllOf(::testing::StartsWith("__Host-oneai=oneai_"), HasSubstr("; Path=/"),
                    HasSubstr("; Secure"), HasSubstr("; HttpOnly"), HasSubstr("; SameSite=Strict"),
                    HasSubstr("; Max-Age=")));
  EXPECT_EQ(Login(code).status, 401);
  const std::string late = Code();
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(Login(late).status, 401);
  EXPECT_EQ(Login("guess").status, 401);
  for (const char* body : {"", "[]", "{", R"({"code": 7})"})
    EXPECT_EQ(Fetch("POST", "/api/v1/login", {{"content-type", kJson}}, body).status, 400) << body;
}

TEST_F(WebServerTest, ASessionActsAsItsPersonUntilLogoutOrItsEnd) {
  EXPECT_EQ(Fetch("GET", "/api/v1/me").status, 401);
  const std::string cookie = Session();
  const HttpResponse me = Fetch("GET", "/api/v1/me", {{"cookie", cookie}});
  EXPECT_EQ(me.status, 200);
  EXPECT_THAT(me.body, HasSubstr("alice"));
  EXPECT_EQ(Fetch("POST", "/api/v1/logout", {{"cookie", cookie}, {"content-type", kJson}}).status,
            200);
  EXPECT_EQ(Fetch("GET", "/api/v1/me", {{"cookie", cookie}}).status, 401);
  const std::string second = Session();
  clock_.Advance(absl::Hours(12));
  EXPECT_EQ(Fetch("GET", "/api/v1/me", {{"cookie", second}}).status, 401);
}

TEST_F(WebServerTest, ChangesComeFromItsOwnPagesOnly) {
  const std::string cookie = Session();
  const std::vector<std::pair<Headers, int>> cases = {
      {{{"cookie", cookie}}, 403},  // a form cannot send JSON
      {{{"cookie", cookie}, {"content-type", "text/plain"}}, 403},
      {{{"cookie", cookie}, {"content-type", kJson}, {"sec-fetch-site", "cross-site"}}, 403},
      {{{"cookie", cookie}, {"content-type", kJson}, {"sec-fetch-site", "same-site"}}, 403},
      {{{"cookie", cookie}, {"content-type", kJson}, {"sec-fetch-site", "same-origin"}}, 404},
      {{{"cookie", cookie}, {"content-type", kJson}}, 404},
  };
  for (const auto& [headers, status] : cases)
    EXPECT_EQ(Fetch("POST", "/api/v1/jobs/job-none/cancel", headers, "{}").status, status);
}

TEST_F(WebServerTest, ErrorsOfServicesBecomeStatusesWithTheirWords) {
  const std::string cookie = Session();
  const HttpResponse missing = Fetch("GET", "/api/v1/jobs/job-none", {{"cookie", cookie}});
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("no job job-none"));
  EXPECT_EQ(Fetch("GET", "/api/v1/audit", {{"cookie", cookie}}).status, 403);
  EXPECT_EQ(Fetch("GET", "/api/v1/jobs/x/logs?offset=a", {{"cookie", cookie}}).status, 400);
  EXPECT_EQ(
      Fetch("POST", "/api/v1/jobs/x/cancel", {{"cookie", cookie}, {"content-type", kJson}}, "[1]")
          .status,
      400);
  EXPECT_EQ(Fetch("GET", "/api/v1/none", {{"cookie", cookie}}).status, 404);
  const HttpResponse wrong_method = Fetch("GET", "/api/v1/login");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(HeaderOf(wrong_method, "allow"), "POST");
}

TEST_F(WebServerTest, TheFabricsListsAreAnsweredAsTheSessionsPersonMaySeeThem) {
  const std::string cookie = Session();
  for (const char* path : {"/api/v1/queues", "/api/v1/reservations", "/api/v1/usage/fabric",
                           "/api/v1/usage/fabric?unit=retail", "/api/v1/jobs?limit=5",
                           "/api/v1/jobs?array_id=array-none"}) {
    EXPECT_EQ(Fetch("GET", path, {{"cookie", cookie}}).status, 200) << path;
    EXPECT_EQ(Fetch("GET", path).status, 401) << path;
  }
  EXPECT_EQ(Fetch("GET", "/api/v1/jobs?limit=few", {{"cookie", cookie}}).status, 400);
  EXPECT_EQ(Fetch("GET", "/api/v1/jobs/job-none/why", {{"cookie", cookie}}).status, 404);
}

TEST_F(WebServerTest, DrainingANodeNeedsTheSameRightAsOnTheCommandLine) {
  JoinNode("node-a");
  const auto drain = [&](const std::string& cookie, const std::string& body) {
    return Fetch("POST", "/api/v1/nodes/node-a/drain",
                 {{"cookie", cookie}, {"content-type", kJson}}, body);
  };
  EXPECT_EQ(drain(Session(), R"({"reason": "fan"})").status, 403);
  const std::string sre = SessionAs(auth::v1::SRE, "*");
  EXPECT_EQ(drain(sre, "[1]").status, 400);
  const HttpResponse drained = drain(sre, R"({"reason": "fan"})");
  EXPECT_EQ(drained.status, 200);
  EXPECT_THAT(drained.body, AllOf(HasSubstr(R"("state":"DRAIN)"), HasSubstr("fan")));
  const HttpResponse back = Fetch("POST", "/api/v1/nodes/node-a/uncordon",
                                  {{"cookie", sre}, {"content-type", kJson}}, "{}");
  EXPECT_THAT(back.body, HasSubstr(R"("state":"READY")"));
}

TEST_F(WebServerTest, FilesAreServedWithTheirCachingAndEncoding) {
  const HttpResponse plain = Fetch("GET", "/assets/a.js", {{"accept-encoding", "gzip;q=0, br"}});
  EXPECT_EQ(plain.body, "script");
  EXPECT_EQ(HeaderOf(plain, "content-encoding"), "");
  EXPECT_THAT(HeaderOf(plain, "cache-control"), HasSubstr("immutable"));
  const HttpResponse zipped = Fetch("GET", "/assets/a.js", {{"accept-encoding", "br, gzip"}});
  EXPECT_EQ(zipped.body, "zipped");
  EXPECT_EQ(HeaderOf(zipped, "content-encoding"), "gzip");
  EXPECT_EQ(HeaderOf(zipped, "vary"), "Accept-Encoding");
  const HttpResponse same = Fetch("GET", "/assets/a.js", {{"if-none-match", "\"s1\""}});
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  const Headers browser = {{"accept", "text/html,*/*"}};
  EXPECT_THAT(Fetch("GET", "/jobs/job-1", browser).body, HasSubstr("page"));
  EXPECT_THAT(Fetch("GET", "/", browser).body, HasSubstr("page"));
  EXPECT_EQ(Fetch("GET", "/jobs/job-1").status, 404);
  EXPECT_EQ(Fetch("GET", "/assets/none.js", browser).status, 404);
  EXPECT_EQ(Fetch("GET", "/api/v1/none", browser).status, 404);
}

TEST_F(WebServerTest, EveryAnswerCarriesTheSecurityHeaders) {
  const HttpResponse answers[] = {Fetch("GET", "/", {{"accept", "text/html"}}),
                                  Fetch("GET", "/none"),
                                  Fetch("GET", "/api/v1/me"),
                                  Fetch("GET", "/metrics"),
                                  Fetch("POST", "/api/v1/login"),
                                  Fetch("GET", "/api/v1/login")};
  for (const HttpResponse& answer : answers) {
    EXPECT_THAT(HeaderOf(answer, "content-security-policy"),
                AllOf(HasSubstr("default-src 'none'"), HasSubstr("script-src 'self'"),
                      HasSubstr("frame-ancestors 'none'")))
        << answer.status;
    EXPECT_EQ(HeaderOf(answer, "x-content-type-options"), "nosniff");
    EXPECT_EQ(HeaderOf(answer, "referrer-policy"), "no-referrer");
    EXPECT_NE(HeaderOf(answer, "strict-transport-security"), "");
  }
}

TEST_F(WebServerTest, LiveUpdatesEndWithTheSession) {
  const std::string cookie = Session();
  HttpRequest request;
  request.method = "GET";
  request.headers = {{"cookie", cookie}};
  std::string received;
  bool logged_out = false;
  const auto head = HttpFetchStream(
      Url("/api/v1/stream"), request, {ca_.certificate_pem(), absl::Seconds(30)},
      [&](absl::string_view data) {
        absl::StrAppend(&received, data);
        if (!logged_out && absl::StrContains(received, "event: endpoints")) {
          logged_out = true;
          Fetch("POST", "/api/v1/logout", {{"cookie", cookie}, {"content-type", kJson}});
        }
        return true;
      });
  ASSERT_OK(head);
  EXPECT_THAT(HeaderOf(*head, "content-type"), HasSubstr("text/event-stream"));
  EXPECT_THAT(received, AllOf(HasSubstr("event: jobs"), HasSubstr("event: nodes"),
                              HasSubstr("event: endpoints"), HasSubstr("event: logout")));
}

}  // namespace
}  // namespace oneai
