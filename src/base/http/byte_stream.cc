#include "base/http/byte_stream.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}
  asio::any_io_executor executor() override { return socket_.get_executor(); }
  void Handshake(Done done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done(error_code()); });
  }
  void ReadSome(char* buffer, size_t size, DoneBytes done) override {
    socket_.async_read_some(asio::buffer(buffer, size), std::move(done));
  }
  void WriteAll(const std::string& data, Done done) override {
    asio::async_write(socket_, asio::buffer(data),
                      [done = std::move(done)](error_code error, size_t) { done(error); });
  }
  void ShutdownSend(Done done) override {
    error_code error;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
    done(error);
  }
  void Close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  asio::ip::tcp::socket socket_;
};

class TlsStream final : public ByteStream {
 public:
  TlsStream(asio::ip::tcp::socket socket, asio::ssl::context& context)
      : stream_(std::move(socket), context) {}
  asio::any_io_executor executor() override { return stream_.get_executor(); }
  void Handshake(Done done) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
  }
  void ReadSome(char* buffer, size_t size, DoneBytes done) override {
    stream_.async_read_some(asio::buffer(buffer, size), std::move(done));
  }
  void WriteAll(const std::string& data, Done done) override {
    asio::async_write(stream_, asio::buffer(data),
                      [done = std::move(done)](error_code error, size_t) { done(error); });
  }
  void ShutdownSend(Done done) override {
    // TLS's own shutdown would wait for the peer's answer while our read is pending; every response
    // of ours carries its length or a last chunk, so a truncated one is seen without it.
    error_code error;
    stream_.next_layer().shutdown(asio::ip::tcp::socket::shutdown_send, error);
    done(error);
  }
  void Close() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }

 private:
  asio::ssl::stream<asio::ip::tcp::socket> stream_;
};

absl::Status BadCredentials(absl::string_view what, const error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat("HTTPS ", what, ": ", error.message()));
}

}  // namespace

std::unique_ptr<ByteStream> NewPlainStream(asio::ip::tcp::socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<ByteStream> NewTlsStream(asio::ip::tcp::socket socket,
                                         asio::ssl::context& context) {
  return std::make_unique<TlsStream>(std::move(socket), context);
}

absl::StatusOr<std::unique_ptr<asio::ssl::context>> NewServerContext(const TlsCredentials& tls) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code error;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                           asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION,
                       error);
  if (error) return BadCredentials("options", error);
  context->use_certificate_chain(asio::buffer(tls.certificate_pem), error);
  if (error) return BadCredentials("certificate", error);
  context->use_private_key(asio::buffer(tls.private_key_pem), asio::ssl::context::pem, error);
  if (error) return BadCredentials("private key", error);
  // Browsers offer HTTP/2 first; we answer http/1.1.
  SSL_CTX_set_alpn_select_cb(
      context->native_handle(),
      [](SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
         unsigned int in_size, void*) {
        static constexpr unsigned char kHttp11[] = "\x08http/1.1";
        unsigned char* chosen = nullptr;
        const int result =
            SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof(kHttp11) - 1, in, in_size);
        *out = chosen;
        return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
      },
      nullptr);
  return context;
}

}  // namespace oneai
