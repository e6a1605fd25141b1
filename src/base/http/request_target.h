// File: base/http/request_target.h
//
// The request line's target as path and query. A target is a stranger's text: one that could mean
// two things is refused.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai {

struct RequestTarget {
  std::string path;  // percent-decoded, begins with '/'
  std::multimap<std::string, std::string> query;
};

// InvalidArgument: not in origin form, a bad percent escape, a control character (NUL too), a
// backslash or a ".." segment in the decoded path. Source: RFC 9112 section 3.2.1, RFC 3986
// section 3.3.
absl::StatusOr<RequestTarget> ParseRequestTarget(absl::string_view target);

}  // namespace oneai
