#include "base/http/message.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace oneai {

std::optional<std::string> HttpRequest::Header(absl::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return std::nullopt;
}

std::optional<std::string> HttpRequest::Query(absl::string_view name) const {
  const auto it = query.find(std::string(name));
  if (it == query.end()) return std::nullopt;
  return it->second;
}

std::optional<std::string> HttpRequest::Cookie(absl::string_view name) const {
  for (const auto& [header, value] : headers) {
    if (header != "cookie") continue;
    for (absl::string_view pair : absl::StrSplit(value, ';')) {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(pair, absl::MaxSplits('=', 1));
      if (absl::StripAsciiWhitespace(parts.first) == name) {
        return std::string(absl::StripAsciiWhitespace(parts.second));
      }
    }
  }
  return std::nullopt;
}

HttpResponse HttpResponse::Json(int status, std::string body) {
  return {status, {{"content-type", "application/json"}}, std::move(body)};
}

HttpResponse HttpResponse::Text(int status, std::string body) {
  return {status, {{"content-type", "text/plain; charset=utf-8"}}, std::move(body)};
}

}  // namespace oneai
