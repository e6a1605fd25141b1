#include "base/http/router.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace oneai {
namespace {

std::vector<std::string> Segments(absl::string_view path) {
  return absl::StrSplit(absl::StripPrefix(path, "/"), '/');
}

bool IsParameter(absl::string_view segment) {
  return absl::StartsWith(segment, "{") && absl::EndsWith(segment, "}");
}

std::optional<PathParameters> Match(const std::vector<std::string>& pattern,
                                    const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  PathParameters parameters;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (IsParameter(pattern[i])) {
      if (path[i].empty()) return std::nullopt;
      parameters[pattern[i].substr(1, pattern[i].size() - 2)] = path[i];
    } else if (pattern[i] != path[i]) {
      return std::nullopt;
    }
  }
  return parameters;
}

}  // namespace

void HttpRouter::Handle(std::string method, std::string pattern, RouteHandler handler) {
  routes_.push_back({std::move(method), Segments(pattern), std::move(handler)});
}

void HttpRouter::HandleOther(HttpHandler handler) { other_ = std::move(handler); }

void HttpRouter::HandleRefusals(HttpRefusal refusal) { refusal_ = std::move(refusal); }

void HttpRouter::Serve(const HttpRequest& request, HttpResponder& responder) const {
  const std::vector<std::string> path = Segments(request.path);
  // HEAD is GET without the body, which the server leaves out.
  const absl::string_view method =
      request.method == "HEAD" ? "GET" : absl::string_view(request.method);
  std::set<std::string> allowed;
  for (const Route& route : routes_) {
    const std::optional<PathParameters> parameters = Match(route.segments, path);
    if (!parameters.has_value()) continue;
    if (route.method == method) return route.handler(request, *parameters, responder);
    allowed.insert(route.method);
  }
  if (!allowed.empty()) {
    HttpResponse response = refusal_(405, "method not allowed");
    if (allowed.contains("GET")) allowed.insert("HEAD");
    response.headers.emplace_back("allow", absl::StrJoin(allowed, ", "));
    return responder.Send(std::move(response));
  }
  if (other_ != nullptr && method == "GET") return other_(request, responder);
  responder.Send(refusal_(404, "not found"));
}

}  // namespace oneai
