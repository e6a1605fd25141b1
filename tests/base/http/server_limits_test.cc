// What strangers try: every limit answers with its status before a handler sees anything.
#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/http/server.h"
#include "tests/base/http/raw_client.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ServerLimitsTest : public ::testing::Test {
 protected:
  void Start(const std::function<void(HttpServerOptions&)>& change = nullptr) {
    HttpServerOptions options;
    options.use_tls = false;
    options.body_bytes_max = 1000;
    if (change) change(options);
    server_ = HttpServer::Start(options, [this](const HttpRequest&, HttpResponder& responder) {
                ++num_handled_;
                responder.Send(HttpResponse::Text(200, "ok"));
              }).value();
  }
  std::string Exchange(absl::string_view text) {
    RawClient client(server_->port());
    client.Send(text);
    return client.ReadAll();
  }

  std::atomic<int> num_handled_{0};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(ServerLimitsTest, MalformedRequestsAre400) {
  Start();
  const std::string nul("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n", 31);
  for (const std::string& text : {
           std::string("nonsense\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
           std::string("GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
           std::string("GET /%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n"),
           std::string("GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n"),
           nul,
           std::string("GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n"),
           std::string(
               "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
           std::string("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n0\r\n\r\n"),
           std::string("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
       }) {
    EXPECT_THAT(Exchange(text), StartsWith("HTTP/1.1 400 ")) << text;
  }
  EXPECT_EQ(num_handled_, 0);
}

TEST_F(ServerLimitsTest, LargeHeadsAndBodiesAreRefused) {
  Start();
  EXPECT_THAT(Exchange(absl::StrCat("GET / HTTP/1.1\r\nHost: x\r\nX: ", std::string(20'000, 'a'),
                                    "\r\n\r\n")),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Exchange(absl::StrCat(
                  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n",
                  std::string(0x800, 'b'), "\r\n0\r\n\r\n")),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(num_handled_, 0);
  EXPECT_THAT(Exchange(absl::StrCat(
                  "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n",
                  std::string(1000, 'b'))),
              StartsWith("HTTP/1.1 200 "));
}

TEST_F(ServerLimitsTest, SlowHeadsAndBodiesTimeOut) {
  Start([](HttpServerOptions& options) {
    options.header_timeout = absl::Milliseconds(50);
    options.idle_timeout = absl::Milliseconds(50);
  });
  EXPECT_THAT(Exchange("GET / HT"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(Exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"),
              StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(Exchange(""), "");  // said nothing, hears nothing
}

TEST_F(ServerLimitsTest, ABodyIsAskedForWhenTheClientWaits) {
  Start();
  RawClient client(server_->port());
  client.Send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 100 Continue\r\n\r\n"));
  client.Send("abc");
  EXPECT_THAT(client.ReadUntil("ok"), HasSubstr("HTTP/1.1 200 OK"));
}

TEST_F(ServerLimitsTest, ConnectionsBeyondTheLimitAreClosed) {
  Start([](HttpServerOptions& options) { options.connections_max = 1; });
  RawClient first(server_->port());
  first.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  first.ReadUntil("ok");
  EXPECT_EQ(Exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "");
}

TEST(ServerBusyTest, RequestsBeyondTheWorkersGet503AndAreToldToRetry) {
  HttpServerOptions options;
  options.use_tls = false;
  options.num_workers = 1;
  absl::Notification running;
  absl::Notification release;
  const auto server = HttpServer::Start(options, [&](const HttpRequest&, HttpResponder& responder) {
                        running.Notify();
                        release.WaitForNotification();
                        responder.Send(HttpResponse::Text(200, "ok"));
                      }).value();
  RawClient first(server->port());
  first.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  running.WaitForNotification();
  RawClient second(server->port());
  second.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  // It waits for the only worker a little, then gives up.
  const std::string refused = second.ReadUntil("\r\n\r\n");
  EXPECT_THAT(refused, AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("retry-after: 1")));
  release.Notify();
  EXPECT_THAT(first.ReadUntil("ok"), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace oneai
