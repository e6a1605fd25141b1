#include "controller/web/static_files.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai {
namespace {

const EmbeddedFile* Find(absl::string_view path) {
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    if (path == file.path) return &file;
  }
  return nullptr;
}

// RFC 9110, 12.5.3: listed with a weight above zero.
bool AcceptsGzip(const HttpRequest& request) {
  for (absl::string_view entry :
       absl::StrSplit(request.Header("accept-encoding").value_or(""), ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(entry, ';');
    if (absl::StripAsciiWhitespace(parts[0]) != "gzip") continue;
    double weight = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&parameter, "q=") && !absl::SimpleAtod(parameter, &weight))
        weight = 0;
    }
    return weight > 0;
  }
  return false;
}

HttpResponse Serve(const EmbeddedFile& file, const HttpRequest& request) {
  HttpResponse response;
  response.headers = {
      {"Content-Type", file.content_type},
      {"ETag", file.etag},
      {"Vary", "Accept-Encoding"},
      {"Cache-Control", file.immutable ? "public, max-age=31536000, immutable" : "no-store"}};
  if (request.Header("if-none-match") == file.etag) {
    response.status = 304;
    return response;
  }
  if (file.gzip != nullptr && AcceptsGzip(request)) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body.assign(reinterpret_cast<const char*>(file.gzip), file.gzip_size);
  } else {
    response.body.assign(reinterpret_cast<const char*>(file.data), file.size);
  }
  return response;
}

}  // namespace

HttpResponse StaticFile(const HttpRequest& request) {
  if (const EmbeddedFile* file = Find(request.path)) return Serve(*file, request);
  const bool deep_link = !absl::StartsWith(request.path, "/api/") &&
                         !absl::StartsWith(request.path, "/assets/") &&
                         absl::StrContains(request.Header("accept").value_or(""), "text/html");
  if (deep_link) {
    if (const EmbeddedFile* index = Find("/index.html")) return Serve(*index, request);
    return HttpResponse::Text(404, "this build has no dashboard; configure it with npm present\n");
  }
  return HttpResponse::Text(404, "not found\n");
}

}  // namespace oneai
