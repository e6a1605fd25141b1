// File: base/http/byte_stream.h
//
// A connected socket, plain or TLS, behind one interface, so that connection.cc is compiled once
// and knows no TLS.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/auth/pki.h"

namespace oneai {

// Runs on the socket's strand: all calls and callbacks happen there. One read and one write may be
// in flight together.
class ByteStream {
 public:
  using Done = std::function<void(boost::system::error_code)>;
  using DoneBytes = std::function<void(boost::system::error_code, size_t)>;

  virtual ~ByteStream() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  virtual void Handshake(Done done) = 0;
  virtual void ReadSome(char* buffer, size_t size, DoneBytes done) = 0;
  virtual void WriteAll(const std::string& data, Done done) = 0;  // `data` must live until done
  virtual void ShutdownSend(Done done) = 0;
  virtual void Close() = 0;  // pending operations end with an error
};

std::unique_ptr<ByteStream> NewPlainStream(boost::asio::ip::tcp::socket socket);
std::unique_ptr<ByteStream> NewTlsStream(boost::asio::ip::tcp::socket socket,
                                         boost::asio::ssl::context& context);

// A server's context: TLS 1.2 and 1.3, the certificate and key of `tls`. InvalidArgument: they do
// not parse or fit.
absl::StatusOr<std::unique_ptr<boost::asio::ssl::context>> NewServerContext(
    const TlsCredentials& tls);

}  // namespace oneai
