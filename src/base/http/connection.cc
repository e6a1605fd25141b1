#include "base/http/connection.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <exception>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/http/response_writer.h"

namespace oneai {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint32_t kHeadBytesMax = 16 << 10;
constexpr size_t kReadAheadBytesMax = 64 << 10;  // of pipelined requests, while a handler runs
// Some clients read an answer only once they have sent all of a body that is too large.
constexpr size_t kDiscardBytesMax = 64 << 20;
constexpr absl::Duration kLingerSilence = absl::Seconds(1);
constexpr absl::Duration kLingerTime = absl::Seconds(30);
constexpr absl::Duration kWorkerWait = absl::Seconds(2);

absl::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<ByteStream> stream,
                       std::string remote)
    : core_(std::move(core)),
      stream_(std::move(stream)),
      remote_(std::move(remote)),
      timer_(stream_->executor()),
      write_timer_(stream_->executor()) {
  absl::MutexLock lock(&core_->mu);
  core_->connections.insert(this);
}

Connection::~Connection() {
  absl::MutexLock lock(&core_->mu);
  core_->connections.erase(this);
}

void Connection::Start() {
  Arm(core_->options.header_timeout, [this] { Close(); });
  stream_->Handshake([self = shared_from_this()](error_code error) {
    if (self->state_ == State::kClosed) return;
    if (error) return self->Close();
    self->BeginRequest();
    // The first request is due as soon as its head; only later ones may be waited for.
    self->Arm(self->core_->options.header_timeout, [c = self.get()] { c->Close(); });
  });
}

void Connection::CloseWhenIdle() {
  asio::post(stream_->executor(), [self = shared_from_this()] {
    if (self->state_ != State::kHandling && self->state_ != State::kLinger) self->Close();
  });
}

void Connection::CloseNow() {
  asio::post(stream_->executor(), [self = shared_from_this()] { self->Close(); });
}

void Connection::BeginRequest() {
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(kHeadBytesMax);
  parser_->body_limit(static_cast<uint64_t>(core_->options.body_bytes_max));
  state_ = State::kIdle;
  Arm(core_->options.idle_timeout, [this] { Close(); });
  if (input_.size() > 0) {
    Parse();
  } else {
    Read();
  }
}

void Connection::Read() {
  if (reading_ || state_ == State::kClosed || input_.size() >= kReadAheadBytesMax) return;
  reading_ = true;
  stream_->ReadSome(chunk_.data(), chunk_.size(),
                    [self = shared_from_this()](error_code error, size_t size) {
                      self->reading_ = false;
                      self->OnRead(error, size);
                    });
}

void Connection::OnRead(error_code error, size_t size) {
  if (state_ == State::kClosed) return;
  if (error) return OnReadError();
  if (state_ == State::kLinger) {
    num_discarded_ += size;
    if (num_discarded_ > kDiscardBytesMax || absl::Now() > linger_until_) return Close();
    if (linger_until_ != absl::InfiniteFuture()) Arm(kLingerSilence, [this] { Close(); });
    return Read();
  }
  const auto room = input_.prepare(size);
  std::copy_n(chunk_.data(), size, static_cast<char*>(room.data()));
  input_.commit(size);
  if (state_ == State::kHandling) return Read();
  Parse();
}

void Connection::OnReadError() {
  // A running handler may still be writing to a client that has closed only its own side.
  if (state_ != State::kHandling) return Close();
  peer_gone_.store(true);
}

void Connection::Parse() {
  if (state_ == State::kIdle) {
    state_ = State::kHead;
    Arm(core_->options.header_timeout, [this] { Refuse(408, "the request's head took too long"); });
  }
  while (input_.size() > 0 && !parser_->is_done()) {
    error_code error;
    const size_t used = parser_->put(input_.data(), error);
    input_.consume(used);
    if (error == http::error::header_limit) return Refuse(431, "the request's head is too large");
    if (error == http::error::body_limit) {
      return Refuse(413, absl::StrCat("the body is larger than ", core_->options.body_bytes_max,
                                      " bytes, the limit here"));
    }
    if (error && error != http::error::need_more) return Refuse(400, "malformed HTTP request");
    if (state_ == State::kHead && parser_->is_header_done() && !AcceptHead()) return;
    if (used == 0) break;
  }
  if (!parser_->is_done()) return Read();
  StartHandler();
}

bool Connection::AcceptHead() {
  const auto& head = parser_->get();
  const auto num_hosts = head.count(http::field::host);
  if (num_hosts > 1 || (num_hosts == 0 && head.version() >= 11)) {
    Refuse(400, "exactly one Host header is needed");
    return false;
  }
  absl::StatusOr<RequestTarget> target = ParseRequestTarget(View(head.target()));
  if (!target.ok()) {
    Refuse(400, target.status().message());
    return false;
  }
  target_ = *std::move(target);
  state_ = State::kBody;
  Arm(core_->options.idle_timeout, [this] { Refuse(408, "the request's body took too long"); });
  if (absl::EqualsIgnoreCase(View(head[http::field::expect]), "100-continue")) {
    Write("HTTP/1.1 100 Continue\r\n\r\n", [](bool) {});
  }
  return true;
}

void Connection::StartHandler() {
  state_ = State::kHandling;
  auto message = parser_->release();
  auto request = std::make_shared<HttpRequest>();
  request->method = absl::AsciiStrToUpper(View(message.method_string()));
  request->path = std::move(target_.path);
  request->query = std::move(target_.query);
  for (const auto& field : message.base()) {
    request->headers.emplace_back(absl::AsciiStrToLower(View(field.name_string())),
                                  std::string(View(field.value())));
  }
  request->body = std::move(message.body());
  request->remote = remote_;
  const bool is_http10 = message.version() < 11;
  const bool keep_alive = message.keep_alive() && !is_http10;
  CountHandlers(+1);
  ticket_ = core_->workers.Submit([self = shared_from_this(), request, keep_alive, is_http10] {
    self->RunHandler(*request, keep_alive, is_http10);
  });
  if (ticket_ == nullptr) {
    CountHandlers(-1);
    return Refuse(503, "the server is busy; retry in a second");
  }
  Arm(kWorkerWait, [this] {
    if (WithdrawHandler()) Refuse(503, "the server is busy; retry in a second");
  });
  Read();
}

void Connection::CountHandlers(int change) {
  absl::MutexLock lock(&core_->mu);
  core_->num_handling += change;
}

bool Connection::WithdrawHandler() {
  if (ticket_ == nullptr || !ticket_->Withdraw()) return false;
  CountHandlers(-1);
  return true;
}

void Connection::RunHandler(const HttpRequest& request, bool keep_alive, bool is_http10) {
  ResponseFraming framing;
  framing.is_head = request.method == "HEAD";
  framing.is_http10 = is_http10;
  framing.keep_alive = keep_alive && !core_->stopping.load();
  ConnectionResponder responder(this, framing);
  try {
    core_->handler(request, responder);
  } catch (const std::exception&) {
    // A third-party parser's exception in a handler must not end the process; Finish() answers 500.
  }
  const bool reusable = responder.Finish();
  CountHandlers(-1);
  asio::post(stream_->executor(),
             [self = shared_from_this(), reusable] { self->OnHandled(reusable); });
}

void Connection::OnHandled(bool keep_alive) {
  ticket_.reset();
  if (state_ == State::kClosed) return;
  if (peer_gone_.load()) return Close();
  if (!keep_alive || core_->stopping.load()) return Linger();
  BeginRequest();
}

void Connection::Refuse(int status, absl::string_view why) {
  HttpResponse response = Refusal(status, why);
  if (status == 503) response.headers.emplace_back("retry-after", "1");
  state_ = State::kLinger;  // takes no more requests
  timer_.cancel();
  Write(EncodeResponse(response, ResponseFraming{}), [this](bool ok) { ok ? Linger() : Close(); });
  Read();
}

// Closing with unread input would reset the connection, and the client might lose the answer.
void Connection::Linger() {
  state_ = State::kLinger;
  linger_until_ = absl::Now() + kLingerTime;
  Arm(kLingerSilence, [this] { Close(); });
  stream_->ShutdownSend([](error_code) {});
  Read();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  peer_gone_.store(true);
  WithdrawHandler();
  ticket_.reset();
  timer_.cancel();
  stream_->Close();
}

bool Connection::WriteBlocking(std::string data) {
  absl::Notification written;
  bool ok = false;
  asio::post(stream_->executor(), [&, self = shared_from_this()] {
    self->Write(std::move(data), [&](bool success) {
      ok = success;
      written.Notify();
    });
  });
  written.WaitForNotification();
  return ok;
}

void Connection::Write(std::string data, std::function<void(bool)> done) {
  if (state_ == State::kClosed) return done(false);
  writes_.push_back({std::move(data), std::move(done)});
  if (writes_.size() == 1) StartWrite();
}

void Connection::StartWrite() {
  write_timer_.expires_after(absl::ToChronoNanoseconds(core_->options.write_timeout));
  write_timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error) self->Close();
  });
  stream_->WriteAll(writes_.front().data, [self = shared_from_this()](error_code error) {
    self->write_timer_.cancel();
    if (error) self->Close();
    const std::function<void(bool)> done = std::move(self->writes_.front().done);
    self->writes_.pop_front();
    done(!error);
    if (self->writes_.empty()) return;
    if (self->state_ != State::kClosed) return self->StartWrite();
    for (PendingWrite& write : std::exchange(self->writes_, {})) write.done(false);
  });
}

// One deadline at a time; a new one replaces the old.
void Connection::Arm(absl::Duration timeout, std::function<void()> on_timeout) {
  timer_.expires_after(absl::ToChronoNanoseconds(timeout));
  timer_.async_wait(
      [self = shared_from_this(), on_timeout = std::move(on_timeout)](error_code error) {
        if (!error && self->state_ != State::kClosed) on_timeout();
      });
}

}  // namespace oneai
