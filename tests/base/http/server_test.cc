#include "base/http/server.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/http/client.h"
#include "tests/base/http/raw_client.h"
#include "tests/testing/status_matchers.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using testing::StatusIs;

constexpr absl::Duration kPatience = absl::Seconds(20);

HttpServerOptions Plain() {
  HttpServerOptions options;
  options.use_tls = false;
  return options;
}

std::unique_ptr<HttpServer> Serve(const HttpServerOptions& options, HttpHandler handler) {
  auto server = HttpServer::Start(options, std::move(handler));
  EXPECT_OK(server);
  return server.ok() ? *std::move(server) : nullptr;
}

void Echo(const HttpRequest& request, HttpResponder& responder) {
  responder.Send(HttpResponse::Text(
      200, absl::StrCat(request.method, " ", request.path, " q=", request.Query("q").value_or("-"),
                        " cookie=", request.Cookie("sid").value_or("-"), " body=", request.body)));
}

HttpRequest Request(const std::string& method, const std::string& body = "") {
  HttpRequest request;
  request.method = method;
  request.body = body;
  return request;
}

TEST(HttpServerTest, AnswersOverTlsWithItsOwnCa) {
  const CertificateAuthority ca = CertificateAuthority::Create().value();
  const KeyPair pair = ca.Issue({"controller", "c", {"localhost", "127.0.0.1"}}).value();
  HttpServerOptions options;
  options.tls = {ca.certificate_pem(), pair.certificate_pem, pair.private_key_pem};
  const auto server = Serve(options, Echo);
  const std::string url = absl::StrCat("https://127.0.0.1:", server->port(), "/a%20b?q=1");
  HttpRequest request = Request("POST", "hello");
  request.headers = {{"cookie", "x=1; sid=abc"}};
  ASSERT_OK_AND_ASSIGN(const HttpResponse response,
                       HttpFetch(url, request, {ca.certificate_pem()}));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "POST /a b q=1 cookie=abc body=hello");
  EXPECT_THAT(response.headers, Contains(Pair("content-type", "text/plain; charset=utf-8")));

  const CertificateAuthority other = CertificateAuthority::Create().value();
  EXPECT_THAT(HttpFetch(url, request, {other.certificate_pem()}),
              StatusIs(absl::StatusCode::kUnauthenticated, _));
}

TEST(HttpServerTest, StreamsChunksToManyClientsAtOnce) {
  HttpServerOptions options = Plain();
  options.num_workers = 40;
  std::atomic<int> started{0};
  const auto server = Serve(options, [&](const HttpRequest&, HttpResponder& responder) {
    responder.BeginStream({200, {{"content-type", "text/event-stream"}}, ""});
    ++started;
    // All streams are open together before any goes on.
    for (int i = 0; i < 20'000 && started < 32; ++i) absl::SleepFor(absl::Milliseconds(1));
    for (int i = 0; i < 50; ++i) responder.Write(absl::StrCat("data: ", i, "\n\n"));
    responder.End();
  });
  std::vector<std::thread> threads;
  std::atomic<int> whole{0};
  for (int t = 0; t < 32; ++t) {
    threads.emplace_back([&] {
      std::string text;
      const auto head = HttpFetchStream(absl::StrCat("http://127.0.0.1:", server->port(), "/"),
                                        Request("GET"), {}, [&](absl::string_view data) {
                                          absl::StrAppend(&text, data);
                                          return true;
                                        });
      if (head.ok() && absl::StrContains(text, "data: 0\n\n") &&
          absl::StrContains(text, "data: 49\n\n"))
        ++whole;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(whole, 32);
}

TEST(HttpServerTest, AClientThatLeavesIsSeenWhileNothingIsWritten) {
  absl::Notification began;
  absl::Notification seen;
  const auto server = Serve(Plain(), [&](const HttpRequest&, HttpResponder& responder) {
    responder.BeginStream({200, {}, ""});
    began.Notify();
    const absl::Time until = absl::Now() + kPatience;
    while (!responder.Cancelled() && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
    if (responder.Cancelled() && !responder.Write("late")) seen.Notify();
  });
  RawClient client(server->port());
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(began.WaitForNotificationWithTimeout(kPatience));
  client.Close();
  EXPECT_TRUE(seen.WaitForNotificationWithTimeout(kPatience));
}

TEST(HttpServerTest, ASlowClientIsCutOffAfterTheWriteTimeout) {
  HttpServerOptions options = Plain();
  options.write_timeout = absl::Milliseconds(100);
  absl::Notification stopped;
  const auto server = Serve(options, [&](const HttpRequest&, HttpResponder& responder) {
    responder.BeginStream({200, {}, ""});
    const std::string data(1 << 20, 'x');
    for (int i = 0; i < 1000; ++i) {
      if (responder.Write(data)) continue;
      stopped.Notify();
      return;
    }
  });
  RawClient client(server->port(), 4096);
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(stopped.WaitForNotificationWithTimeout(kPatience));
}

TEST(HttpServerTest, AHandlerThatDoesNotFinishIsSeenByTheClient) {
  const auto server = Serve(Plain(), [&](const HttpRequest& request, HttpResponder& responder) {
    if (request.path == "/throws") throw std::runtime_error("from a parser");
    if (request.path == "/silent") return;
    responder.BeginStream({200, {}, ""});
    responder.Write("half");
  });
  const std::string url = absl::StrCat("http://127.0.0.1:", server->port());
  EXPECT_EQ(HttpFetch(url + "/silent", Request("GET"), {})->status, 500);
  EXPECT_EQ(HttpFetch(url + "/throws", Request("GET"), {})->status, 500);
  EXPECT_THAT(HttpFetch(url + "/half", Request("GET"), {}),
              StatusIs(absl::StatusCode::kUnavailable, _));
}

TEST(HttpServerTest, KeepsAConnectionForPipelinedRequestsAndHead) {
  const auto server = Serve(Plain(), Echo);
  RawClient client(server->port());
  client.Send(
      "GET /one HTTP/1.1\r\nHost: x\r\n\r\n"
      "HEAD /two HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST /three HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
      "GET /four HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string text = client.ReadAll();
  EXPECT_THAT(text, AllOf(HasSubstr("GET /one"), HasSubstr("POST /three q=- cookie=- body=abc"),
                          HasSubstr("GET /four"), HasSubstr("connection: close"),
                          Not(HasSubstr("HEAD /two"))));
}

TEST(HttpServerTest, AClientThatClosesItsSendingSideStillGetsItsAnswer) {
  const auto server = Serve(Plain(), Echo);
  RawClient client(server->port());
  client.Send("GET /half-closed HTTP/1.1\r\nHost: x\r\n\r\n");
  client.CloseSending();
  EXPECT_THAT(client.ReadAll(), HasSubstr("/half-closed"));
}

TEST(HttpServerTest, AnHttp10StreamEndsWithItsConnection) {
  const auto server = Serve(Plain(), [&](const HttpRequest&, HttpResponder& responder) {
    responder.BeginStream({200, {}, ""});
    responder.Write("ab");
    responder.Write("cd");
    responder.End();
  });
  RawClient client(server->port());
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), AllOf(HasSubstr("\r\n\r\nabcd"), Not(HasSubstr("chunked"))));
}

TEST(HttpServerTest, AHeaderWithALineBreakIsLeftOut) {
  const auto server = Serve(Plain(), [](const HttpRequest&, HttpResponder& responder) {
    responder.Send({204, {{"x-good", "1"}, {"x-bad", "a\r\nset-cookie: evil=1"}}, "ignored"});
  });
  ASSERT_OK_AND_ASSIGN(
      const HttpResponse response,
      HttpFetch(absl::StrCat("http://127.0.0.1:", server->port()), Request("GET"), {}));
  EXPECT_EQ(response.status, 204);
  EXPECT_THAT(response.headers, Contains(Pair("x-good", "1")));
  EXPECT_THAT(response.headers, Not(Contains(Pair("set-cookie", _))));
}

TEST(HttpServerTest, StopLetsARunningHandlerFinish) {
  absl::Notification running;
  absl::Notification proceed;
  const auto server = Serve(Plain(), [&](const HttpRequest&, HttpResponder& responder) {
    running.Notify();
    proceed.WaitForNotification();
    responder.Send(HttpResponse::Text(200, "finished"));
  });
  RawClient client(server->port());
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(running.WaitForNotificationWithTimeout(kPatience));
  std::thread stopper([&] { server->Stop(kPatience); });
  proceed.Notify();
  EXPECT_THAT(client.ReadAll(), HasSubstr("finished"));
  stopper.join();
}

TEST(HttpServerTest, StopCutsWhatOutlivesTheGrace) {
  absl::Notification running;
  std::atomic<bool> cancelled{false};
  const auto server = Serve(Plain(), [&](const HttpRequest&, HttpResponder& responder) {
    running.Notify();
    while (!responder.Cancelled()) absl::SleepFor(absl::Milliseconds(1));
    cancelled = true;
  });
  RawClient client(server->port());
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(running.WaitForNotificationWithTimeout(kPatience));
  server->Stop(absl::Milliseconds(10));
  EXPECT_TRUE(cancelled);
}

TEST(HttpServerTest, APortInUseIsNamed) {
  const auto first = Serve(Plain(), Echo);
  HttpServerOptions options = Plain();
  options.port = first->port();
  EXPECT_THAT(HttpServer::Start(options, Echo),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(absl::StrCat("127.0.0.1:", first->port())),
                             HasSubstr("another port"))));
}

TEST(HttpServerTest, BadCredentialsAreRefusedAtTheStart) {
  HttpServerOptions options;
  options.tls = {"", "junk", "junk"};
  EXPECT_THAT(HttpServer::Start(options, Echo),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("certificate")));
}

TEST(HttpClientTest, NobodyListeningIsUnavailable) {
  int port = 0;
  {
    const auto server = Serve(Plain(), Echo);
    port = server->port();
  }
  EXPECT_THAT(HttpFetch(absl::StrCat("http://127.0.0.1:", port), Request("GET"), {}),
              StatusIs(absl::StatusCode::kUnavailable, _));
  EXPECT_THAT(HttpFetch("ftp://127.0.0.1/", Request("GET"), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST(HttpClientTest, AStreamStopsWhenItsReaderHasEnough) {
  std::atomic<bool> noticed{false};
  {
    const auto server = Serve(Plain(), [&](const HttpRequest&, HttpResponder& responder) {
      responder.BeginStream({200, {{"x-kind", "endless"}}, ""});
      while (responder.Write("tick\n")) {
      }
      noticed = true;
    });
    ASSERT_OK_AND_ASSIGN(
        const HttpResponse head,
        HttpFetchStream(absl::StrCat("http://127.0.0.1:", server->port()), Request("GET"), {},
                        [](absl::string_view) { return false; }));
    EXPECT_EQ(head.status, 200);
    EXPECT_THAT(head.headers, Contains(Pair("x-kind", "endless")));
  }
  EXPECT_TRUE(noticed);
}

}  // namespace
}  // namespace oneai
