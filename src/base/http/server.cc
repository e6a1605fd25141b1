#include "base/http/server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/http/byte_stream.h"
#include "base/http/connection.h"
#include "base/status.h"

namespace oneai {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Two: one client's TLS arithmetic must not delay every other stream.
constexpr int kNumIoThreads = 2;

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(const HttpServerOptions& options, HttpHandler handler,
                 std::unique_ptr<asio::ssl::context> tls)
      : core_(std::make_shared<ServerCore>(options, std::move(handler))),
        tls_(std::move(tls)),
        work_(asio::make_work_guard(io_)),
        acceptor_(asio::make_strand(io_)),
        accept_pause_(acceptor_.get_executor()) {}

  ~HttpServerImpl() override { Stop(absl::ZeroDuration()); }

  absl::Status Listen() {
    const HttpServerOptions& options = core_->options;
    const std::string where = absl::StrCat(options.host, ":", options.port);
    error_code error;
    const asio::ip::address address = asio::ip::make_address(options.host, error);
    if (error || options.port < 0 || options.port > 65535) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen on ", where, ": give an IP address and a port up to 65535"));
    }
    const tcp::endpoint endpoint(address, static_cast<unsigned short>(options.port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", where, ": ", error.message(),
                                                 "; choose another port (0: any free one)"));
    }
    port_ = acceptor_.local_endpoint().port();
    return absl::OkStatus();
  }

  void Run() {
    asio::post(acceptor_.get_executor(), [this] { Accept(); });
    for (int i = 0; i < kNumIoThreads; ++i) {
      io_threads_.emplace_back([this] { io_.run(); });
    }
  }

  int port() const override { return port_; }

  void Stop(absl::Duration grace) override {
    absl::MutexLock lock(&stop_mu_);
    if (core_->stopping.exchange(true)) return;
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
      accept_pause_.cancel();
    });
    ForEachConnection([](Connection& connection) { connection.CloseWhenIdle(); });
    AwaitHandlers(grace);
    ForEachConnection([](Connection& connection) { connection.CloseNow(); });
    core_->workers.Stop();
    work_.reset();
    for (std::thread& thread : io_threads_) thread.join();
  }

 private:
  void Accept() {
    acceptor_.async_accept(asio::make_strand(io_), [this](error_code error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (!error) {
        StartConnection(std::move(socket));
        return Accept();
      }
      // Out of descriptors, most likely: trying again at once would spin.
      accept_pause_.expires_after(std::chrono::milliseconds(50));
      accept_pause_.async_wait([this](error_code cancelled) {
        if (!cancelled && acceptor_.is_open()) Accept();
      });
    });
  }

  void StartConnection(tcp::socket socket) {
    {
      absl::MutexLock lock(&core_->mu);
      if (core_->connections.size() >= static_cast<size_t>(core_->options.connections_max)) return;
    }
    error_code error;
    const tcp::endpoint remote = socket.remote_endpoint(error);
    if (error) return;
    socket.set_option(tcp::no_delay(true), error);  // streamed tokens are small and urgent
    std::unique_ptr<ByteStream> stream =
        tls_ ? NewTlsStream(std::move(socket), *tls_) : NewPlainStream(std::move(socket));
    const asio::any_io_executor strand = stream->executor();
    auto connection = std::make_shared<Connection>(
        core_, std::move(stream), absl::StrCat(remote.address().to_string(), ":", remote.port()));
    asio::post(strand, [this, connection] {
      // Accepted just before Stop() closed the others.
      if (core_->stopping.load()) return connection->CloseNow();
      connection->Start();
    });
  }

  template <typename F>
  void ForEachConnection(F&& f) {
    std::vector<std::shared_ptr<Connection>> connections;
    {
      absl::MutexLock lock(&core_->mu);
      for (Connection* connection : core_->connections) {
        // Null while its destructor waits for this lock.
        if (auto shared = connection->weak_from_this().lock()) connections.push_back(shared);
      }
    }
    for (const std::shared_ptr<Connection>& connection : connections) f(*connection);
  }

  void AwaitHandlers(absl::Duration grace) {
    ServerCore& core = *core_;
    const auto no_handler = [&core]() ABSL_SHARED_LOCKS_REQUIRED(core.mu) {
      return core.num_handling == 0;
    };
    absl::MutexLock lock(&core.mu);
    core.mu.AwaitWithTimeout(absl::Condition(&no_handler), grace);
  }

  const std::shared_ptr<ServerCore> core_;
  const std::unique_ptr<asio::ssl::context> tls_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  tcp::acceptor acceptor_;
  asio::steady_timer accept_pause_;
  int port_ = 0;
  absl::Mutex stop_mu_;
  std::vector<std::thread> io_threads_;
};

}  // namespace

HttpResponse TextRefusal(int status, absl::string_view why) {
  return HttpResponse::Text(status, absl::StrCat(why, "\n"));
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options,
                                                              HttpHandler handler) {
  std::unique_ptr<asio::ssl::context> tls;
  if (options.use_tls) {
    ASSIGN_OR_RETURN(tls, NewServerContext(options.tls));
  }
  auto server = std::make_unique<HttpServerImpl>(options, std::move(handler), std::move(tls));
  RETURN_IF_ERROR(server->Listen());
  server->Run();
  return server;
}

}  // namespace oneai
