// File: controller/web/static_files.h
//
// The dashboard's files, embedded in the binary at build time (dashboard/CMakeLists.txt makes the
// table).
#pragma once

#include <cstddef>
#include <string>

#include "absl/types/span.h"
#include "base/http/message.h"

namespace oneai {

struct EmbeddedFile {
  const char* path;  // "/index.html", "/assets/index-4f3a.js"
  const char* content_type;
  const char* etag;  // quoted
  bool immutable;    // its name holds its hash
  const unsigned char* data;
  size_t size;
  const unsigned char* gzip;  // null: none
  size_t gzip_size;
};

// All of them; empty in a build without the dashboard.
absl::Span<const EmbeddedFile> EmbeddedFiles();

// The file for a GET: 304 by ETag, gzip when accepted (q=0 honoured), index.html for deep links
// that accept HTML, else 404.
HttpResponse StaticFile(const HttpRequest& request);

}  // namespace oneai
