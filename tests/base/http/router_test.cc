#include "base/http/router.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai {
namespace {

using ::testing::Contains;
using ::testing::Pair;

class RecordingResponder final : public HttpResponder {
 public:
  void Send(HttpResponse response) override { sent = std::move(response); }
  void BeginStream(HttpResponse) override {}
  bool Write(absl::string_view) override { return false; }
  void End() override {}
  bool Cancelled() const override { return false; }
  HttpResponse sent;
};

class HttpRouterTest : public ::testing::Test {
 protected:
  HttpRouterTest() {
    router_.Handle("GET", "/jobs", [](const auto&, const auto&, HttpResponder& out) {
      out.Send(HttpResponse::Text(200, "list"));
    });
    router_.Handle("POST", "/jobs", [](const auto&, const auto&, HttpResponder& out) {
      out.Send(HttpResponse::Text(201, "made"));
    });
    router_.Handle("GET", "/jobs/{id}/logs",
                   [](const auto&, const PathParameters& path, HttpResponder& out) {
                     out.Send(HttpResponse::Text(200, "logs of " + path.at("id")));
                   });
  }
  HttpResponse Serve(const std::string& method, const std::string& path) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    RecordingResponder responder;
    router_.Serve(request, responder);
    return responder.sent;
  }
  HttpRouter router_;
};

TEST_F(HttpRouterTest, MatchesMethodAndPattern) {
  EXPECT_EQ(Serve("GET", "/jobs").body, "list");
  EXPECT_EQ(Serve("POST", "/jobs").body, "made");
  EXPECT_EQ(Serve("GET", "/jobs/j-1/logs").body, "logs of j-1");
  EXPECT_EQ(Serve("HEAD", "/jobs").body, "list");
}

TEST_F(HttpRouterTest, TellsUnknownPathsFromWrongMethods) {
  EXPECT_EQ(Serve("GET", "/none").status, 404);
  EXPECT_EQ(Serve("GET", "/jobs//logs").status, 404);
  EXPECT_EQ(Serve("GET", "/jobs/").status, 404);
  const HttpResponse response = Serve("DELETE", "/jobs");
  EXPECT_EQ(response.status, 405);
  EXPECT_THAT(response.headers, Contains(Pair("allow", "GET, HEAD, POST")));
}

TEST_F(HttpRouterTest, OtherGetsGoToTheFallback) {
  router_.HandleOther(
      [](const auto&, HttpResponder& out) { out.Send(HttpResponse::Text(200, "file")); });
  EXPECT_EQ(Serve("GET", "/index.html").body, "file");
  EXPECT_EQ(Serve("POST", "/index.html").status, 404);
}

}  // namespace
}  // namespace oneai
