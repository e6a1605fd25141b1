// File: base/http/response_writer.h
//
// Responses as bytes, and the HttpResponder that sends them over a connection.
#pragma once

#include <memory>
#include <string>

#include "base/http/connection.h"
#include "base/http/server.h"

namespace oneai {

// How the client wants its answer.
struct ResponseFraming {
  bool is_head = false;    // HEAD: no body
  bool is_http10 = false;  // no chunks: a stream ends with the connection
  bool keep_alive = false;
};

// A whole response. Headers that frame the message are ours; a handler's header with a line break
// is left out.
std::string EncodeResponse(const HttpResponse& response, const ResponseFraming& framing);

// Used by the one handler that runs.
class ConnectionResponder final : public HttpResponder {
 public:
  ConnectionResponder(Connection* connection, const ResponseFraming& framing)
      : connection_(connection), framing_(framing) {}
  void Send(HttpResponse response) override;
  void BeginStream(HttpResponse head) override;
  bool Write(absl::string_view data) override;
  void End() override;
  bool Cancelled() const override { return connection_->PeerGone(); }

  // Called when the handler has returned: answers for one that did not. True: the connection may
  // take another request.
  bool Finish();

 private:
  enum class Stage { kNothing, kStreaming, kDone, kBroken };
  Connection* const connection_;
  const ResponseFraming framing_;
  Stage stage_ = Stage::kNothing;
};

}  // namespace oneai
