// What the gateway's HTTP door refuses before any request is understood, over the wire: whatever
// goes wrong, a client of OpenAI's finds its JSON.
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "base/http/server.h"
#include "serving/gateway/http_front.h"
#include "tests/base/http/raw_client.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

struct RawAnswer {
  int status = 0;
  std::string head;  // lower case
  std::string body;
};

RawAnswer Parse(const std::string& text) {
  RawAnswer answer;
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(text, absl::MaxSplits("\r\n\r\n", 1));
  answer.head = absl::AsciiStrToLower(parts.first);
  answer.body = parts.second;
  if (absl::StartsWith(text, "HTTP/1.1 ")) answer.status = std::stoi(text.substr(9, 3));
  return answer;
}

// The routes need no pipeline as long as nobody gets through to it.
class HttpRefusalsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    front_.AddRoutes(router_);
    router_.Handle("GET", "/silent",
                   [](const HttpRequest&, const PathParameters&, HttpResponder&) {});
    router_.Handle("GET", "/wait",
                   [this](const HttpRequest&, const PathParameters&, HttpResponder& to) {
                     running_.Notify();
                     release_.WaitForNotification();
                     to.Send(HttpResponse::Text(200, "ok"));
                   });
    HttpServerOptions options;
    options.use_tls = false;
    options.refusal = &HttpFront::Refuse;
    options.body_bytes_max = 1000;
    options.num_workers = 1;
    options.header_timeout = options.idle_timeout = absl::Milliseconds(300);
    server_ = HttpServer::Start(options, [this](const HttpRequest& request, HttpResponder& to) {
                router_.Serve(request, to);
              }).value();
  }
  RawAnswer Exchange(absl::string_view text) {
    RawClient client(server_->port());
    client.Send(text);
    return Parse(client.ReadAll());
  }
  static void ExpectError(const RawAnswer& answer, int status, const std::string& type,
                          const Json& code, const std::string& message) {
    EXPECT_EQ(answer.status, status) << answer.head;
    EXPECT_THAT(answer.head, HasSubstr("\r\ncontent-type: application/json"));
    EXPECT_THAT(answer.head, HasSubstr("\r\nx-request-id: req-"));
    EXPECT_THAT(answer.head, HasSubstr(absl::StrCat("\r\ncontent-length: ", answer.body.size())));
    const Json json = Json::parse(answer.body, nullptr, false);
    ASSERT_TRUE(json.is_object() && json.contains("error")) << answer.body;
    const Json& error = json["error"];
    EXPECT_EQ(error.size(), 4);
    EXPECT_THAT(error.value("message", ""), HasSubstr(message));
    EXPECT_EQ(error.value("type", ""), type);
    EXPECT_EQ(error["param"], nullptr);
    EXPECT_EQ(error["code"], code);
  }

  HttpFront front_{nullptr, nullptr, nullptr};
  HttpRouter router_;
  absl::Notification running_, release_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpRefusalsTest, MalformedHttpIs400) {
  for (const char* text : {"nonsense\r\n\r\n", "GET /v1/models HTTP/1.1\r\n\r\n",
                           "GET /../x HTTP/1.1\r\nHost: x\r\n\r\n",
                           "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: y\r\n\r\n",
                           "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                           "chunked\r\n\r\nzz\r\n"}) {
    ExpectError(Exchange(text), 400, "invalid_request_error", nullptr, "");
  }
}

TEST_F(HttpRefusalsTest, AnUnknownPathIs404) {
  ExpectError(Exchange("POST /v1/complete HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       "Content-Length: 2\r\n\r\n{}"),
              404, "invalid_request_error", "unknown_url", "not found");
}

TEST_F(HttpRefusalsTest, AnotherMethodIs405) {
  const RawAnswer answer =
      Exchange("DELETE /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  ExpectError(answer, 405, "invalid_request_error", "method_not_supported", "not allowed");
  EXPECT_THAT(answer.head, HasSubstr("\r\nallow: post"));
}

TEST_F(HttpRefusalsTest, SlowHeadsAndBodiesAre408) {
  ExpectError(Exchange("POST /v1/compl"), 408, "timeout_error", "request_timeout", "head");
  ExpectError(
      Exchange("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"mo"), 408,
      "timeout_error", "request_timeout", "body");
}

TEST_F(HttpRefusalsTest, LargeBodiesAre413) {
  ExpectError(Exchange("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"),
              413, "invalid_request_error", "request_too_large", "1000 bytes");
  ExpectError(Exchange(absl::StrCat("POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                                    "Transfer-Encoding: chunked\r\n\r\n800\r\n",
                                    std::string(0x800, 'b'), "\r\n0\r\n\r\n")),
              413, "invalid_request_error", "request_too_large", "1000 bytes");
}

TEST_F(HttpRefusalsTest, AClientThatSendsAllOfALargeBodyFirstStillReadsWhy) {
  constexpr size_t kBytes = 20 << 20;
  RawClient client(server_->port());
  client.Send(absl::StrCat("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ", kBytes,
                           "\r\n\r\n"));
  client.Send(std::string(kBytes, ' '));
  ExpectError(Parse(client.ReadAll()), 413, "invalid_request_error", "request_too_large", "");
}

TEST_F(HttpRefusalsTest, LargeHeadsAre431) {
  ExpectError(Exchange(absl::StrCat("GET /v1/models HTTP/1.1\r\nHost: x\r\nX: ",
                                    std::string(20'000, 'a'), "\r\n\r\n")),
              431, "invalid_request_error", "headers_too_large", "head");
}

TEST_F(HttpRefusalsTest, AHandlerWithoutAnAnswerIs500) {
  ExpectError(Exchange("GET /silent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 500,
              "server_error", "internal_error", "no answer");
}

TEST_F(HttpRefusalsTest, WithoutAFreeWorkerItIs503) {
  RawClient first(server_->port());
  first.Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  running_.WaitForNotification();
  const RawAnswer answer = Exchange("GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n");
  ExpectError(answer, 503, "service_unavailable_error", "unavailable", "busy");
  EXPECT_THAT(answer.head, HasSubstr("\r\nretry-after: 1"));
  release_.Notify();
  first.ReadUntil("ok");
}

}  // namespace
}  // namespace oneai::serving
