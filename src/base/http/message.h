// File: base/http/message.h
//
// Requests and responses as plain values, so that handlers need no HTTP library.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai {

struct HttpRequest {
  std::string method;  // upper case
  std::string path;    // decoded, without query; never contains ".." segments
  std::multimap<std::string, std::string> query;
  std::vector<std::pair<std::string, std::string>> headers;  // names lower case
  std::string body;
  std::string remote;  // "127.0.0.1:51234"

  std::optional<std::string> Header(absl::string_view lower_case_name) const;
  std::optional<std::string> Query(absl::string_view name) const;
  std::optional<std::string> Cookie(absl::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  static HttpResponse Json(int status, std::string body);
  static HttpResponse Text(int status, std::string body);
};

}  // namespace oneai
