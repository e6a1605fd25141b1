#include "base/http/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace oneai {
namespace {

constexpr size_t kBodyBytesMax = 64 << 20;

struct Transfer {
  HttpResponse response;
  const std::function<bool(absl::string_view)>* on_data;
  bool stopped = false;  // on_data asked for it
};

size_t OnHeader(char* data, size_t, size_t size, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  const absl::string_view line(data, size);
  // Each status line begins a new response: a 100 Continue comes before the real one.
  if (absl::StartsWith(line, "HTTP/")) transfer->response.headers.clear();
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(line, absl::MaxSplits(':', 1));
  if (absl::StrContains(line, ':')) {
    transfer->response.headers.emplace_back(
        absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts.first)),
        std::string(absl::StripAsciiWhitespace(parts.second)));
  }
  return size;
}

size_t OnBody(char* data, size_t, size_t size, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  if ((*transfer->on_data)(absl::string_view(data, size))) return size;
  transfer->stopped = true;
  return 0;
}

absl::Status CurlStatus(CURLcode code, const std::string& url, const char* detail) {
  const std::string message =
      absl::StrCat(url, ": ", *detail == '\0' ? curl_easy_strerror(code) : detail);
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(message);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(message);
    case CURLE_PEER_FAILED_VERIFICATION:
      return absl::UnauthenticatedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

using CurlPtr = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

HeaderList RequestHeaders(const HttpRequest& request) {
  curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers) {
    list = curl_slist_append(list, absl::StrCat(name, ": ", value).c_str());
  }
  return HeaderList(list, curl_slist_free_all);
}

void SetMethod(CURL* curl, const HttpRequest& request) {
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    return;
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST,
                   request.method.empty() ? "GET" : request.method.c_str());
}

void SetTransport(CURL* curl, const HttpClientOptions& options) {
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  // The fabric's own traffic never goes through a proxy of the environment.
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(options.timeout)));
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (options.ca_pem.empty()) return;
  std::string ca_pem = options.ca_pem;  // curl's pointer is not const, though it only copies
  curl_blob blob{ca_pem.data(), ca_pem.size(), CURL_BLOB_COPY};
  curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
  curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
}

enum class Timeout { kWhole, kSilence };

absl::StatusOr<HttpResponse> Perform(const std::string& url, const HttpRequest& request,
                                     const HttpClientOptions& options, Timeout timeout,
                                     const std::function<bool(absl::string_view)>& on_data) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  const CurlPtr curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return absl::InternalError("cannot start an HTTP transfer");
  const HeaderList headers = RequestHeaders(request);
  Transfer transfer{{}, &on_data};
  char detail[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail);
  SetTransport(curl.get(), options);
  SetMethod(curl.get(), request);
  if (headers != nullptr) curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  if (timeout == Timeout::kWhole) {
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(options.timeout)));
  } else {
    curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(
        curl.get(), CURLOPT_LOW_SPEED_TIME,
        static_cast<long>(std::max<int64_t>(1, absl::ToInt64Seconds(options.timeout))));
  }
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK && !transfer.stopped) return CurlStatus(code, url, detail);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  return std::move(transfer.response);
}

}  // namespace

absl::StatusOr<HttpResponse> HttpFetch(const std::string& url, const HttpRequest& request,
                                       const HttpClientOptions& options) {
  std::string body;
  bool too_large = false;
  ASSIGN_OR_RETURN(HttpResponse response,
                   Perform(url, request, options, Timeout::kWhole, [&](absl::string_view data) {
                     too_large = body.size() + data.size() > kBodyBytesMax;
                     if (!too_large) absl::StrAppend(&body, data);
                     return !too_large;
                   }));
  if (too_large) {
    return absl::ResourceExhaustedError(
        absl::StrCat(url, ": the response is larger than ", kBodyBytesMax, " bytes"));
  }
  response.body = std::move(body);
  return response;
}

absl::StatusOr<HttpResponse> HttpFetchStream(
    const std::string& url, const HttpRequest& request, const HttpClientOptions& options,
    const std::function<bool(absl::string_view)>& on_data) {
  return Perform(url, request, options, Timeout::kSilence, on_data);
}

}  // namespace oneai
