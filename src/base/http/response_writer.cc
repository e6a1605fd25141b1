#include "base/http/response_writer.h"

#include <boost/beast/http/status.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace oneai {
namespace {

bool IsOurs(absl::string_view name) {
  return absl::EqualsIgnoreCase(name, "content-length") ||
         absl::EqualsIgnoreCase(name, "transfer-encoding") ||
         absl::EqualsIgnoreCase(name, "connection");
}

bool IsSafe(absl::string_view text) {
  return text.find_first_of(absl::string_view("\r\n\0", 3)) == absl::string_view::npos;
}

std::string EncodeHead(const HttpResponse& response, absl::string_view framing_headers,
                       bool keep_alive) {
  const auto status = static_cast<boost::beast::http::status>(response.status);
  const auto reason = boost::beast::http::obsolete_reason(status);
  std::string head = absl::StrCat("HTTP/1.1 ", response.status, " ",
                                  absl::string_view(reason.data(), reason.size()), "\r\n");
  for (const auto& [name, value] : response.headers) {
    if (IsOurs(name) || !IsSafe(name) || !IsSafe(value)) continue;
    absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  absl::StrAppend(&head, framing_headers);
  if (!keep_alive) absl::StrAppend(&head, "connection: close\r\n");
  absl::StrAppend(&head, "\r\n");
  return head;
}

}  // namespace

std::string EncodeResponse(const HttpResponse& response, const ResponseFraming& framing) {
  // RFC 9110 8.6: these carry neither body nor length.
  const bool is_bodiless = response.status == 204 || response.status == 304;
  std::string text = EncodeHead(
      response, is_bodiless ? "" : absl::StrCat("content-length: ", response.body.size(), "\r\n"),
      framing.keep_alive);
  if (!is_bodiless && !framing.is_head) text += response.body;
  return text;
}

void ConnectionResponder::Send(HttpResponse response) {
  if (stage_ != Stage::kNothing) return;
  // A client that closed only its sending side still reads, so this is tried even when it seems
  // gone.
  const bool ok = connection_->WriteBlocking(EncodeResponse(response, framing_));
  stage_ = ok ? Stage::kDone : Stage::kBroken;
}

void ConnectionResponder::BeginStream(HttpResponse head) {
  if (stage_ != Stage::kNothing) return;
  const absl::string_view framing_headers =
      framing_.is_http10 ? "" : "transfer-encoding: chunked\r\n";
  const bool ok = connection_->WriteBlocking(
      EncodeHead(head, framing_headers, framing_.keep_alive && !framing_.is_http10));
  stage_ = ok ? Stage::kStreaming : Stage::kBroken;
}

bool ConnectionResponder::Write(absl::string_view data) {
  if (stage_ != Stage::kStreaming || framing_.is_head || Cancelled()) return false;
  if (data.empty()) return true;  // an empty chunk would end the stream
  std::string frame = framing_.is_http10
                          ? std::string(data)
                          : absl::StrCat(absl::Hex(data.size()), "\r\n", data, "\r\n");
  if (connection_->WriteBlocking(std::move(frame))) return true;
  stage_ = Stage::kBroken;
  return false;
}

void ConnectionResponder::End() {
  if (stage_ != Stage::kStreaming) return;
  const bool has_last_chunk = !framing_.is_http10 && !framing_.is_head;
  const bool ok = !has_last_chunk || connection_->WriteBlocking("0\r\n\r\n");
  stage_ = ok ? Stage::kDone : Stage::kBroken;
}

bool ConnectionResponder::Finish() {
  if (stage_ == Stage::kNothing) Send(connection_->Refusal(500, "the server gave no answer"));
  if (stage_ == Stage::kStreaming) {
    // Without the last chunk the client knows that the stream is incomplete, once the connection
    // ends.
    if (!framing_.is_head) stage_ = Stage::kBroken;
  }
  if (stage_ == Stage::kBroken) connection_->CloseNow();
  return framing_.keep_alive && stage_ == Stage::kDone && !framing_.is_http10;
}

}  // namespace oneai
