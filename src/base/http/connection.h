// File: base/http/connection.h
//
// One client's connection: handshake -> [read head -> read body -> handle -> respond]* -> linger ->
// close.
//
//   kHandshake --> kIdle --byte--> kHead --head--> kBody --whole--> kHandling --keep-alive--> kIdle
//        any of them: error, time-out, limit --> kLinger (answer sent, waiting for the client to
//        read it) --> kClosed
//
// Reading never stops while a handler runs: that is how a client that leaves is noticed.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/http/byte_stream.h"
#include "base/http/request_target.h"
#include "base/http/server.h"
#include "base/http/worker_pool.h"

namespace oneai {

class Connection;

// What all connections of a server share. Thread-safe.
struct ServerCore {
  ServerCore(const HttpServerOptions& server_options, HttpHandler server_handler)
      : options(server_options),
        handler(std::move(server_handler)),
        workers(server_options.num_workers) {}
  const HttpServerOptions options;
  const HttpHandler handler;
  WorkerPool workers;
  std::atomic<bool> stopping{false};

  absl::Mutex mu;
  std::set<Connection*> connections ABSL_GUARDED_BY(mu);
  int num_handling ABSL_GUARDED_BY(mu) = 0;  // waiting for a thread, or running
};

// All methods run on the stream's strand unless they say otherwise.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<ByteStream> stream,
             std::string remote);
  ~Connection();

  void Start();
  // Any thread. Ends it if it is between requests; otherwise after the response.
  void CloseWhenIdle();
  // Any thread. Ends it now.
  void CloseNow();

  // Handler's thread. Blocks until `data` is written; false: it was not.
  bool WriteBlocking(std::string data);
  // Any thread. What the server says itself, in the words of its options.
  HttpResponse Refusal(int status, absl::string_view why) const {
    return core_->options.refusal(status, why);
  }
  // Any thread.
  bool PeerGone() const { return peer_gone_.load(); }

 private:
  enum class State { kHandshake, kIdle, kHead, kBody, kHandling, kLinger, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  struct PendingWrite {
    std::string data;
    std::function<void(bool)> done;
  };

  void BeginRequest();
  void Read();
  void OnRead(boost::system::error_code error, size_t size);
  void OnReadError();
  void Parse();
  bool AcceptHead();  // false: refused
  void StartHandler();
  void RunHandler(const HttpRequest& request, bool keep_alive, bool is_http10);  // handler's thread
  void CountHandlers(int change);                                                // any thread
  bool WithdrawHandler();  // true: a handler that waited for a thread will not run
  void OnHandled(bool keep_alive);
  void Refuse(int status, absl::string_view why);
  void Linger();
  void Close();

  void Write(std::string data, std::function<void(bool)> done);
  void StartWrite();
  void Arm(absl::Duration timeout, std::function<void()> on_timeout);

  const std::shared_ptr<ServerCore> core_;
  const std::unique_ptr<ByteStream> stream_;
  const std::string remote_;
  std::atomic<bool> peer_gone_{false};

  State state_ = State::kHandshake;
  std::array<char, 16384> chunk_;
  bool reading_ = false;
  boost::beast::flat_buffer input_;
  std::optional<Parser> parser_;
  RequestTarget target_;
  std::shared_ptr<WorkerPool::Ticket> ticket_;
  std::deque<PendingWrite> writes_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer write_timer_;
  size_t num_discarded_ = 0;
  absl::Time linger_until_ = absl::InfiniteFuture();  // finite once the answer is written
};

}  // namespace oneai
